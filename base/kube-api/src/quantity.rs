//! Quantities: `resource.Quantity`, exact decimals with a suffix.
