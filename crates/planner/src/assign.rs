//! Which addresses a Service gets.
