//! The models, one file per subject. Each file lists its models in `MODELS`, each with the mutants it kills.

use crate::harness::{self, Model};
use std::collections::BTreeSet;

/// Declares the suites; each becomes two tests, so that they run side by side.
macro_rules! suites {
    ($($suite:ident),* $(,)?) => {
        $(mod $suite;)*

        const SUITES: &[(&str, &[Model])] = &[$((stringify!($suite), $suite::MODELS)),*];

        mod hold {
            $(#[test]
            fn $suite() {
                for model in super::$suite::MODELS {
                    crate::harness::hold(stringify!($suite), model);
                }
            })*
        }

        mod mutants {
            $(#[test]
            fn $suite() {
                for model in super::$suite::MODELS {
                    for site in model.kills {
                        crate::harness::caught(stringify!($suite), model, site);
                    }
                }
            })*
        }
    };
}

suites! {
    attendance,
    bell,
    bytes,
    condition,
    count,
    eventcount,
    flag,
    futex,
    gate,
    journal,
    lock_word,
    map,
    mpmc,
    permits,
    pool,
    rendezvous,
    spsc,
    tally,
    tenure,
    token,
}

/// The books balance: every site in the sources has a model that its mutant breaks, and the other way round.
#[test]
fn every_site_has_a_mutant() {
    let sites = harness::sites();
    assert!(!sites.is_empty(), "no site found: the scan looks in the wrong place");
    let killed: BTreeSet<String> = SUITES
        .iter()
        .flat_map(|(_, models)| models.iter())
        .flat_map(|model| model.kills)
        .map(|site| (*site).to_owned())
        .collect();
    let unproven: Vec<_> = sites.difference(&killed).collect();
    assert!(unproven.is_empty(), "sites that no model breaks: {unproven:?}");
    let vanished: Vec<_> = killed.difference(&sites).filter(|site| !site.starts_with("model.")).collect();
    assert!(vanished.is_empty(), "mutants without a site in the sources: {vanished:?}");
}
