//! Figures of a case, drawn by the program.

mod drawn;
mod drawing;
mod odd_cases;
mod overlays;
mod refused;
