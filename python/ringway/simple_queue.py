class SimpleQueue: pass
