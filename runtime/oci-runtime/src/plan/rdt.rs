//! `linux.intelRdt`: shares of cache and memory bandwidth (config-linux.md, "IntelRdt").

use oci_spec::runtime::Linux;

use super::SpecError;

/// Which group of the resource control file system the container belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdtPlan {
    /// The class of service by name, `/` for the default one; a class of its own without.
    pub clos: Option<String>,
    /// Lines for `schemata`, in order.
    pub schemata: Vec<String>,
    /// A monitoring group of its own.
    pub monitoring: bool,
}

pub(super) fn rdt(linux: &Linux) -> Result<Option<RdtPlan>, SpecError> {
    let Some(given) = linux.intel_rdt() else { return Ok(None) };
    let clos = given.clos_id().clone().filter(|clos| !clos.is_empty());
    if let Some(name) = clos.as_deref()
        && (name == "." || name == ".." || name != "/" && name.contains(['/', '\0', '\n']))
    {
        let hint = "name one directory of the resource control file system, or / for the default class";
        return Err(SpecError::invalid("invalid intelRdt.ClosID:", name, hint));
    }
    let bandwidth = given.mem_bw_schema().iter().filter(|schema| !schema.is_empty());
    if let Some(schema) = bandwidth.clone().find(|schema| !schema.starts_with("MB:")) {
        return Err(SpecError::invalid("linux.intelRdt.memBwSchema", schema, "it begins with MB:"));
    }
    let cache = given.l3_cache_schema().iter().filter(|schema| !schema.is_empty());
    let lines = given.schemata().iter().flatten().filter(|schema| !schema.is_empty());
    let schemata: Vec<String> = cache.chain(bandwidth).chain(lines).cloned().collect();
    if let Some(line) = schemata.iter().find(|line| line.contains('\n')) {
        return Err(SpecError::invalid("linux.intelRdt", line, "a schema is one line"));
    }
    let monitoring = given.enable_monitoring().unwrap_or(false);
    Ok(Some(RdtPlan { clos, schemata, monitoring }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rdt: &str) -> Result<Option<RdtPlan>, String> {
        let linux: Linux = serde_json::from_str(&format!(r#"{{"intelRdt":{rdt}}}"#)).unwrap();
        super::rdt(&linux).map_err(|error| error.to_string())
    }

    #[test]
    fn schemata_come_in_the_order_of_the_specification() {
        let got = of(
            r#"{"closID":"gold","schemata":["L2:0=f0"],"memBwSchema":"MB:0=20","l3CacheSchema":"L3:0=7f","enableMonitoring":true}"#,
        );
        let plan = got.unwrap().unwrap();
        assert_eq!(plan.schemata, ["L3:0=7f", "MB:0=20", "L2:0=f0"]);
        assert_eq!((plan.clos.as_deref(), plan.monitoring), (Some("gold"), true));
        assert_eq!(of("{}").unwrap(), Some(RdtPlan::default()));
        assert_eq!(of(r#"{"closID":"/"}"#).unwrap().unwrap().clos.as_deref(), Some("/"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (rdt, part) in [
            (r#"{"closID":".."}"#, "invalid intelRdt.ClosID"),
            (r#"{"closID":"a/b"}"#, "invalid intelRdt.ClosID"),
            (r#"{"memBwSchema":"L3:0=1"}"#, "begins with MB:"),
            (r#"{"l3CacheSchema":"L3:0=1\nMB:0=10"}"#, "one line"),
            (r#"{"schemata":["L3:0=1\n"]}"#, "one line"),
        ] {
            let error = of(rdt).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
