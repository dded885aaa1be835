//! The native half of the Python package `ringway`.
use pyo3::prelude::*;
#[pymodule]
mod _ringway {
    use super::*;
    #[pyfunction]
    fn hello() -> u32 { 7 }
}
