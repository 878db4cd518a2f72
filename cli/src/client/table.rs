//! Tables (meta.k8s.io/v1) as aligned text, as kubectl shows them.

use serde_json::Value;

/// Rows of text under a heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Takes in a page: a `Table` of the server. Columns of a priority above 0 are for wide output; `prefix` goes
    /// before the first cell, which is the name. False when the body is no Table.
    pub(super) fn add(&mut self, page: &Value, with_namespace: bool, prefix: &str) -> bool {
        let (Some(columns), "Table") =
            (page["columnDefinitions"].as_array(), page["kind"].as_str().unwrap_or_default())
        else {
            return false;
        };
        let shown: Vec<usize> =
            (0..columns.len()).filter(|at| columns[*at]["priority"].as_i64().unwrap_or(0) == 0).collect();
        if self.heading.is_empty() {
            let names = shown.iter().map(|at| columns[*at]["name"].as_str().unwrap_or_default().to_uppercase());
            self.heading = with_namespace.then(|| "NAMESPACE".to_owned()).into_iter().chain(names).collect();
        }
        for row in page["rows"].as_array().into_iter().flatten() {
            let namespace = with_namespace.then(|| cell(&row["object"]["metadata"]["namespace"]));
            let mut cells: Vec<String> = shown.iter().map(|at| cell(&row["cells"][*at])).collect();
            if let Some(name) = cells.first_mut() {
                name.insert_str(0, prefix);
            }
            self.rows.push(namespace.into_iter().chain(cells).collect());
        }
        true
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned, three spaces apart, without spaces at the ends of lines.
    pub(super) fn render(&self) -> String {
        let lines: Vec<&Vec<String>> = std::iter::once(&self.heading).chain(&self.rows).collect();
        let width = |at: usize| lines.iter().filter_map(|l| l.get(at)).map(|c| c.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.heading.len()).map(width).collect();
        let line = |cells: &&Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A cell on one line: an object may hold text that would move the terminal's cursor.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_make_one_table() {
        let columns = json!([{"name": "Name", "priority": 0}, {"name": "Data"}, {"name": "Notes", "priority": 1}, {"name": "Age", "priority": 0}]);
        let row = |name: &str, cells: Value| json!({"cells": cells, "object": {"metadata": {"name": name, "namespace": "ns"}}});
        let first =
            json!({"kind": "Table", "columnDefinitions": columns, "rows": [row("a", json!(["a", 12, "x", "5d"]))]});
        let second = json!({"kind": "Table", "columnDefinitions": columns, "rows": [row("b", json!(["longer\u{1b}[2J", 3, "x", null]))]});
        let mut table = Table::default();
        assert!(
            table.is_empty() && table.add(&first, true, "") && table.add(&second, true, "cm/") && !table.is_empty()
        );
        insta::assert_snapshot!(table.render(), @r"
        NAMESPACE   NAME            DATA   AGE
        ns          a               12     5d
        ns          cm/longer [2J   3      <none>
        ");
        assert!(!Table::default().add(&json!({"kind": "List", "items": []}), false, ""));
    }
}
