from multiprocessing.forkserver import *
