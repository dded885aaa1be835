//! Bugs that must be found: one step of an algorithm done wrongly, in a build with instruments.

/// A bug, and the scenarios of which at least one must find it.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The site in the sources, as written in `mutated!`.
    pub site: &'static str,
    /// Names of scenarios.
    pub scenarios: &'static [&'static str],
}

/// All of them.
pub const PLANTED: &[Planted] = &[Planted { site: "spsc.publish_before_write", scenarios: &["spsc/push"] }];

/// Breaks the step, in this process and those it forks. `false` if this build has no instruments.
pub fn plant(site: &'static str) -> bool {
    #[cfg(ringway_instruments)]
    ringway::instruments::plant(site);
    let _ = site;
    cfg!(ringway_instruments)
}
