//! Compiles the layer between Boost's queue and Rust, if there are a C++ compiler and Boost.

use std::{env, path::PathBuf, process::Command};

const SOURCE: &str = "src/transports/boost_queue.cpp";
/// Looked at again on every build while it is not there.
const HEADER: &str = "/usr/include/boost/interprocess/ipc/message_queue.hpp";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={HEADER}");
    println!("cargo::rerun-if-env-changed=CXX");
    println!("cargo::rustc-check-cfg=cfg(boost)");
    match compile_boost() {
        Ok(()) => println!("cargo::rustc-cfg=boost"),
        Err(reason) => {
            println!("cargo::warning=Boost's message queue will not be measured: {reason}");
            println!("cargo::rustc-env=BOOST_MISSING={reason}");
        }
    }
}

fn compile_boost() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let (object, archive) = (out.join("boost_queue.o"), out.join("libboost_queue.a"));
    let compiler = env::var("CXX").unwrap_or_else(|_| "g++".into());
    run(Command::new(&compiler)
        .args(["-std=c++17", "-O3", "-DNDEBUG", "-fPIC", "-c", SOURCE, "-o"])
        .arg(&object))?;
    // Missing is fine: it is about to be made.
    let _ = std::fs::remove_file(&archive);
    run(Command::new("ar").arg("crs").arg(&archive).arg(&object))?;
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=boost_queue");
    println!("cargo::rustc-link-lib=stdc++");
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| line.contains("error")).unwrap_or("it failed");
    Err(format!("{program}: {first}"))
}
