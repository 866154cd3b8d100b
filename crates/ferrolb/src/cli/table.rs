//! Tables for people.

use comfy_table::{Table, presets};

/// A table without lines; nothing if it has no rows.
pub(super) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(rows);
    table.lines().map(|line| format!("{}\n", line.trim())).collect()
}
