//! `cargo xtask sizes`: a ratchet on long functions and files.
//!
//! A function fits a screen (70 lines), a file holds one subject (700 lines without its
//! tests). What is longer stands in `sizes.toml` with its length, and may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use syn::spanned::Spanned;
use syn::visit::Visit;

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 700;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write what is found as the new ratchet
    #[arg(long)]
    accept: bool,
}

impl Args {
    /// Against the ratchet as it is.
    pub(crate) fn check() -> Self {
        Self { accept: false }
    }
}

/// `path` or `path::function` → lines.
type Sizes = BTreeMap<String, usize>;

/// Checks the workspace at `root` against `sizes.toml`.
pub(crate) fn run(root: &Path, args: &Args) -> Result<()> {
    let mut found = Sizes::new();
    for dir in
        ["base", "kernel", "runtime", "image", "net", "engine", "product", "bin", "tests", "bench", "xtask"]
    {
        for file in sources(&root.join(dir))? {
            let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
            let source = fs::read_to_string(&file)?;
            found.extend(measure(&name, &source).with_context(|| name.clone())?);
        }
    }
    let ratchet = root.join("sizes.toml");
    if args.accept {
        let head = "# Longer than a screen (functions, 70 lines) or a subject (files, 700 lines).\n\
                    # Numbers here may only fall: `cargo xtask sizes`.\n\n";
        fs::write(&ratchet, format!("{head}{}", toml::to_string(&found)?))?;
    }
    let allowed: Sizes = toml::from_str(&fs::read_to_string(&ratchet)?).context("sizes.toml")?;
    let faults = compare(&found, &allowed);
    ensure!(faults.is_empty(), "sizes:\n  {}", faults.join("\n  "));
    println!("sizes: {} over the limits, none of them grown", found.len());
    Ok(())
}

/// Faults of `found` against the ratchet, as sentences. Pure.
fn compare(found: &Sizes, allowed: &Sizes) -> Vec<String> {
    let grown = found.iter().filter_map(|(name, lines)| match allowed.get(name) {
        None => Some(format!("{name} has {lines} lines: split it")),
        Some(limit) if lines > limit => Some(format!("{name} grew from {limit} to {lines} lines: split it")),
        Some(_) => None,
    });
    let shrunk = allowed.iter().filter_map(|(name, limit)| match found.get(name) {
        None => Some(format!("{name} is within the limits now: take it out of sizes.toml")),
        Some(lines) if lines < limit => Some(format!("{name} shrank to {lines} lines: say so in sizes.toml")),
        Some(_) => None,
    });
    grown.chain(shrunk).collect()
}

/// What is over a limit in `source`.
fn measure(name: &str, source: &str) -> Result<Sizes> {
    let file = syn::parse_file(source).context("not Rust")?;
    let mut visitor = Functions { path: name.to_owned(), sizes: Sizes::new(), test_lines: 0 };
    visitor.visit_file(&file);
    let lines = source.lines().count() - visitor.test_lines;
    if lines > FILE_LINES_MAX && !name.contains("/tests/") {
        visitor.sizes.insert(name.to_owned(), lines);
    }
    Ok(visitor.sizes)
}

struct Functions {
    path: String,
    sizes: Sizes,
    test_lines: usize,
}

impl Functions {
    fn function(&mut self, name: &syn::Ident, whole: proc_macro2::Span) {
        let lines = whole.end().line - whole.start().line + 1;
        if lines > FUNCTION_LINES_MAX {
            self.sizes.insert(format!("{}::{name}", self.path), lines);
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(is_cfg_test) {
            self.test_lines += item.span().end().line - item.span().start().line + 1;
            return;
        }
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(
            &item.sig.ident,
            item.sig.span().join(item.block.span()).unwrap_or_else(|| item.block.span()),
        );
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(
            &item.sig.ident,
            item.sig.span().join(item.block.span()).unwrap_or_else(|| item.block.span()),
        );
        syn::visit::visit_impl_item_fn(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
}

/// All Rust files below `dir`, build output left out.
pub(crate) fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "generated") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_functions_and_leaves_tests_out() {
        let body = "let _ = 1;\n".repeat(69);
        let source = format!(
            "fn fits() {{}}\nfn long() {{\n{body}}}\n#[cfg(test)]\nmod tests {{ fn t() {{\n{body}{body}}} }}\n"
        );
        assert_eq!(measure("a.rs", &source).unwrap(), Sizes::from([("a.rs::long".to_owned(), 71)]));
    }

    #[test]
    fn ratchet_only_falls() {
        let sizes = |lines| Sizes::from([("a".to_owned(), lines)]);
        assert!(compare(&sizes(90), &sizes(90)).is_empty());
        assert_eq!(compare(&sizes(91), &sizes(90)), ["a grew from 90 to 91 lines: split it"]);
        assert_eq!(compare(&sizes(80), &sizes(90)), ["a shrank to 80 lines: say so in sizes.toml"]);
        assert_eq!(compare(&sizes(80), &Sizes::new()), ["a has 80 lines: split it"]);
    }
}
