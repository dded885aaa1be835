//! Where the crash stepper, the soak and the stress take hold of a process. Compiled with `--cfg ringway_instruments`
//! only; the product has nothing of it.
//!
//! For programs that do not know of this module there are two variables of the environment: `RINGWAY_PLANT` names a step
//! to be broken, and with `RINGWAY_UNSLICED` all sleeps last until somebody wakes the sleeper: what a lost wake-up
//! costs in the product is a slice of a tenth of a second, and no test would see it.

use std::sync::OnceLock;

static PLANTED: OnceLock<&'static str> = OnceLock::new();
static HOOK: OnceLock<fn()> = OnceLock::new();
static PLANTED_FROM_OUTSIDE: OnceLock<Option<String>> = OnceLock::new();
static UNSLICED: OnceLock<bool> = OnceLock::new();

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
    let outside = || PLANTED_FROM_OUTSIDE.get_or_init(|| std::env::var("RINGWAY_PLANT").ok());
    PLANTED.get() == Some(&site) || outside().as_deref() == Some(site)
}

/// Whether sleeps have no slices.
pub(crate) fn is_unsliced() -> bool {
    *UNSLICED.get_or_init(|| std::env::var_os("RINGWAY_UNSLICED").is_some())
}

#[inline]
pub(crate) fn access() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}
