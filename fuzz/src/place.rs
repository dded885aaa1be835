//! Where the named objects of this run live: a directory of its own in memory, gone when the run ends.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::OnceLock;

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// The absolute name of an object in this process's directory, which also becomes that of plain names.
///
/// `ci/fuzz.sh` gives the directory above (as `RINGWAY_DIR`) and removes it however the run ends. Without it, one
/// is made that a crash leaves behind.
pub fn name(leaf: &str) -> String {
    let directory = DIRECTORY.get_or_init(|| {
        let above = std::env::var_os("RINGWAY_DIR").map_or_else(|| "/dev/shm".into(), PathBuf::from);
        let directory = above.join(format!("ringway-fuzz-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&directory);
        made.expect("cannot make a directory for the named objects");
        // SAFETY: called at the first input, when no other thread of this process looks at the environment.
        unsafe { std::env::set_var("RINGWAY_DIR", &directory) };
        // SAFETY: registers a function that lives as long as the program.
        unsafe { libc::atexit(remove) };
        directory
    });
    directory.join(leaf).to_str().expect("the directory's path is not UTF-8").to_owned()
}

extern "C" fn remove() {
    if let Some(directory) = DIRECTORY.get() {
        let _ = std::fs::remove_dir_all(directory);
    }
}
