//! Runs models, breaks them, and keeps the books.

use crate::sync::mutant;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One race: a scenario that must hold in every execution, and the mutants that must break it.
#[derive(Clone, Copy)]
pub(crate) struct Model {
    /// Named by the race.
    pub(crate) name: &'static str,
    /// How many times a running thread may be preempted in one execution (loom's preemption bound). Two or three, but one
    /// where that is enough for the mutants and one more takes a minute: `RINGWAY_LOOM_PREEMPTIONS` looks deeper.
    pub(crate) preemptions: usize,
    /// The scenario.
    pub(crate) body: fn(),
    /// The sites that, broken one at a time, make it fail. Never empty: a model that nothing can break
    /// proves nothing.
    pub(crate) kills: &'static [&'static str],
}

/// Explores `model`, prints how many executions that took, and fails if there was only one.
pub(crate) fn hold(suite: &str, model: &Model) {
    assert!(!model.kills.is_empty(), "model {suite}::{} has no mutant: it proves nothing", model.name);
    let count = explore(model.preemptions, model.body);
    println!("model   {suite}::{}: {count} executions, preemptions <= {}", model.name, model.preemptions);
    assert!(count > 1, "model {suite}::{} has only one execution: nothing races in it", model.name);
}

/// Runs `model` with `site` broken and demands that it fails.
pub(crate) fn caught(suite: &str, model: &Model, site: &'static str) {
    let (preemptions, body) = (model.preemptions, model.body);
    // A thread of its own: loom leaves thread-local pieces behind when a model fails.
    let run = move || {
        quietly(|| {
            mutant::with(site, || {
                catch_unwind(AssertUnwindSafe(|| explore(preemptions, body))).map_err(message)
            })
        })
    };
    let outcome =
        std::thread::Builder::new().spawn(run).expect("a thread").join().unwrap_or_else(|p| Err(message(p)));
    match outcome {
        Ok(count) => panic!("mutant {site} survived {suite}::{} ({count} executions)", model.name),
        Err(why) if why.contains("exceeded maximum number of branches") => {
            panic!("mutant {site} sends {suite}::{} round in circles, which shows nothing: {why}", model.name)
        }
        Err(why) => {
            let why = why.lines().next().unwrap_or_default();
            let why = if why.starts_with("deadlock") { "deadlock" } else { why };
            println!("mutant  {site}  caught by {suite}::{}: {why}", model.name);
        }
    }
}

/// Every execution of `body` within the preemption bound; returns their number.
fn explore(preemptions: usize, body: fn()) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let mut builder = loom::model::Builder::new();
    // RINGWAY_LOOM_PREEMPTIONS looks deeper than the quick run of every day.
    let deeper = std::env::var("RINGWAY_LOOM_PREEMPTIONS").ok().and_then(|text| text.parse().ok());
    builder.preemption_bound = Some(deeper.unwrap_or(preemptions));
    builder.max_branches = 10_000;
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        crate::sys::futex::reset();
        body();
    });
    count.load(Ordering::Relaxed)
}

std::thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` without the panic messages that it is expected to cause.
fn quietly<R>(body: impl FnOnce() -> R) -> R {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let result = body();
    QUIET.set(false);
    result
}

fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => {
            other.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |text| (*text).to_owned())
        }
    }
}

/// The sites named in the product's sources that this crate includes.
pub(crate) fn sites() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut sites = BTreeSet::new();
    for room in ["ring", "wait", "lock", "pool", "map"] {
        collect(&source.join(room), &mut sites);
    }
    collect_file(&source.join("arena/tenure.rs"), &mut sites);
    sites
}

fn collect(folder: &Path, sites: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, sites);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            collect_file(&path, sites);
        }
    }
}

fn collect_file(path: &Path, sites: &mut BTreeSet<String>) {
    let text = std::fs::read_to_string(path).expect("a readable source file");
    sites.extend(sites_in(&text));
}

/// The site is the last argument of `order!` or the only one of `mutated!`: a string literal before the `)`.
fn sites_in(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let calls = ["order!(", "mutated!("].into_iter().flat_map(|call| code.split(call).skip(1));
    let argument = |call: &str| {
        let inside = call.split(')').next().unwrap_or_default();
        inside.split('"').nth(1).map(str::to_owned)
    };
    calls.map(|call| argument(call).unwrap_or_else(|| panic!("a site without a name: {call:.60}"))).collect()
}

#[test]
fn sites_are_found_in_code_only() {
    let text = "a.load(order!(Acquire, \"x.y\"));\n// order!(Relaxed, \"no\")\nif mutated!(\"z\") {}";
    assert_eq!(sites_in(text), ["x.y", "z"]);
}
