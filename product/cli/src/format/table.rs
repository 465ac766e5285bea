//! Columns as docker's client lays them out: at least ten wide, three spaces apart.

use std::fmt;

/// Rows of cells, aligned when printed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

const WIDTH_MIN: usize = 10;
const GAP: usize = 3;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            // The last cell of a row ends it and is never padded.
            for (at, cell) in row.iter().take(row.len().saturating_sub(1)).enumerate() {
                let width = (cell.chars().count() + GAP).max(WIDTH_MIN);
                match widths.get_mut(at) {
                    Some(known) => *known = width.max(*known),
                    None => widths.push(width),
                }
            }
        }
        for row in &self.rows {
            let last = row.len().saturating_sub(1);
            for (at, cell) in row.iter().enumerate() {
                let width = if at == last { 0 } else { widths.get(at).copied().unwrap_or(0) };
                write!(f, "{cell:width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_as_docker_does() {
        let mut table = Table::new();
        table.row(["ID", "LONG HEADING", "LAST"]);
        table.row(["0123456789ab", "x", ""]);
        assert_eq!(table.to_string(), "ID             LONG HEADING   LAST\n0123456789ab   x              \n");
    }

    #[test]
    fn narrow_columns_are_ten_wide() {
        let mut table = Table::new();
        table.row(["A", "B"]);
        assert_eq!(table.to_string(), "A         B\n");
    }
}
