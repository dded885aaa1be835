//! Where the crash stepper and the soak take hold of a process. Compiled with `--cfg ringway_instruments` only; the
//! product has nothing of it.

use std::sync::OnceLock;

static PLANTED: OnceLock<&'static str> = OnceLock::new();
static HOOK: OnceLock<fn()> = OnceLock::new();

/// Breaks the step of that name for this process and its children, to see that a test notices. Only the first call
/// counts.
pub fn plant(site: &'static str) {
    let _ = PLANTED.set(site);
}

/// Has `hook` called before every access to shared memory, on the thread that makes it. Only the first call counts.
pub fn before_each_access(hook: fn()) {
    let _ = HOOK.set(hook);
}

pub(crate) fn is_planted(site: &str) -> bool {
    PLANTED.get() == Some(&site)
}

#[inline]
pub(crate) fn access() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}
