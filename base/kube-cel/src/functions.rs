//! The functions that there are: their names and the types that they take.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::env::{AUTHORIZER, DECISION, GROUP_CHECK, PATH_CHECK, RESOURCE_CHECK};
use crate::types::Type;

/// One way to call a function.
#[derive(Clone, Debug)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    /// How many type parameters there are.
    pub(crate) params: u32,
    pub(crate) library: Library,
}

/// Who brings a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Always,
    /// Upstream's `math` and `base64`, off in Kubernetes.
    Extra,
}

/// The ways to call a function.
pub(crate) fn overloads(name: &str) -> Option<&'static [Overload]> {
    static ALL: OnceLock<HashMap<&'static str, Vec<Overload>>> = OnceLock::new();
    ALL.get_or_init(all).get(name).map(Vec::as_slice)
}

fn all() -> HashMap<&'static str, Vec<Overload>> {
    let mut all: HashMap<&'static str, Vec<Overload>> = HashMap::new();
    for (table, library) in [(TABLE, Library::Always), (EXTRA, Library::Extra)] {
        for line in table.lines() {
            let mut parts = line.split_ascii_whitespace();
            let (Some(id), Some(name), Some(args), Some(result)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            all.entry(name).or_default().push(read(id, args, result, library));
        }
    }
    for (function, name) in [("_<_", 0), ("_<=_", 1), ("_>_", 2), ("_>=_", 3)] {
        let overloads = COMPARED.iter().map(|(ids, left, right)| Overload {
            id: ids[name],
            member: false,
            args: vec![left.clone(), right.clone()],
            result: Type::Bool,
            params: 0,
            library: Library::Always,
        });
        all.entry(function).or_default().extend(overloads);
    }
    all
}

fn read(id: &'static str, args: &str, result: &str, library: Library) -> Overload {
    let (target, args) =
        args.split_once(".(").map_or((None, args.trim_start_matches('(')), |(t, a)| (Some(t), a));
    let args = args.strip_suffix(')').unwrap_or(args);
    let args: Vec<Type> = target.into_iter().chain(split(args)).map(type_of).collect();
    let text = format!("{args:?}{result}");
    let params = if text.contains("Param(1)") {
        2
    } else {
        u32::from(text.contains("Param(0)") || result == "opt(A)")
    };
    Overload { id, member: target.is_some(), args, result: type_of(result), params, library }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

fn type_of(text: &str) -> Type {
    if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let inner: Vec<Type> = split(inner).into_iter().map(type_of).collect();
        return match (name, inner.as_slice()) {
            ("list", [a]) => Type::list(a.clone()),
            ("opt", [a]) => Type::optional(a.clone()),
            ("map", [a, b]) => Type::map(a.clone(), b.clone()),
            ("type", [a]) => Type::Type(a.clone().into()),
            _ => Type::Dyn,
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "null" => Type::Null,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "A" => Type::Param(0),
        "B" => Type::Param(1),
        "ip" => Type::Opaque("net.IP"),
        "cidr" => Type::Opaque("net.CIDR"),
        "quantity" => Type::Opaque("kubernetes.Quantity"),
        "url" => Type::Opaque("kubernetes.URL"),
        "semver" => Type::Opaque("kubernetes.Semver"),
        "format" => Type::Opaque("kubernetes.NamedFormat"),
        "authz" => Type::Opaque(AUTHORIZER),
        "path" => Type::Opaque(PATH_CHECK),
        "group" => Type::Opaque(GROUP_CHECK),
        "resource" => Type::Opaque(RESOURCE_CHECK),
        "decision" => Type::Opaque(DECISION),
        _ => Type::Dyn,
    }
}

type Compared = ([&'static str; 4], Type, Type);

macro_rules! compared {
    ($name:literal, $left:ident, $right:ident) => {
        (
            [
                concat!("less_", $name),
                concat!("less_equals_", $name),
                concat!("greater_", $name),
                concat!("greater_equals_", $name),
            ],
            Type::$left,
            Type::$right,
        )
    };
}

const COMPARED: [Compared; 14] = [
    compared!("bool", Bool, Bool),
    compared!("int64", Int, Int),
    compared!("int64_double", Int, Double),
    compared!("int64_uint64", Int, Uint),
    compared!("uint64", Uint, Uint),
    compared!("uint64_double", Uint, Double),
    compared!("uint64_int64", Uint, Int),
    compared!("double", Double, Double),
    compared!("double_int64", Double, Int),
    compared!("double_uint64", Double, Uint),
    compared!("string", String, String),
    compared!("bytes", Bytes, Bytes),
    compared!("timestamp", Timestamp, Timestamp),
    compared!("duration", Duration, Duration),
];

const TABLE: &str = "
conditional _?_:_ (bool,A,A) A
logical_and _&&_ (bool,bool) bool
logical_or _||_ (bool,bool) bool
logical_not !_ (bool) bool
not_strictly_false @not_strictly_false (bool) bool
equals _==_ (A,A) bool
not_equals _!=_ (A,A) bool
add_bytes _+_ (bytes,bytes) bytes
add_double _+_ (double,double) double
add_duration_duration _+_ (duration,duration) duration
add_duration_timestamp _+_ (duration,timestamp) timestamp
add_timestamp_duration _+_ (timestamp,duration) timestamp
add_int64 _+_ (int,int) int
add_list _+_ (list(A),list(A)) list(A)
add_string _+_ (string,string) string
add_uint64 _+_ (uint,uint) uint
divide_double _/_ (double,double) double
divide_int64 _/_ (int,int) int
divide_uint64 _/_ (uint,uint) uint
modulo_int64 _%_ (int,int) int
modulo_uint64 _%_ (uint,uint) uint
multiply_double _*_ (double,double) double
multiply_int64 _*_ (int,int) int
multiply_uint64 _*_ (uint,uint) uint
negate_double -_ (double) double
negate_int64 -_ (int) int
subtract_double _-_ (double,double) double
subtract_duration_duration _-_ (duration,duration) duration
subtract_int64 _-_ (int,int) int
subtract_timestamp_duration _-_ (timestamp,duration) timestamp
subtract_timestamp_timestamp _-_ (timestamp,timestamp) duration
subtract_uint64 _-_ (uint,uint) uint
index_list _[_] (list(A),int) A
index_map _[_] (map(A,B),A) B
optional_list_index_int _[_] (opt(list(A)),int) opt(A)
optional_map_index_value _[_] (opt(map(A,B)),A) opt(B)
select_optional_field _?._ (dyn,string) opt(A)
list_optindex_optional_int _[?_] (list(A),int) opt(A)
optional_list_optindex_optional_int _[?_] (opt(list(A)),int) opt(A)
map_optindex_optional_value _[?_] (map(A,B),A) opt(B)
optional_map_optindex_optional_value _[?_] (opt(map(A,B)),A) opt(B)
in_list @in (A,list(A)) bool
in_map @in (A,map(A,B)) bool
size_bytes size (bytes) int
bytes_size size bytes.() int
size_list size (list(A)) int
list_size size list(A).() int
size_map size (map(A,B)) int
map_size size map(A,B).() int
size_string size (string) int
string_size size string.() int
type type (A) type(A)
bool_to_bool bool (bool) bool
string_to_bool bool (string) bool
bytes_to_bytes bytes (bytes) bytes
string_to_bytes bytes (string) bytes
double_to_double double (double) double
int64_to_double double (int) double
string_to_double double (string) double
uint64_to_double double (uint) double
duration_to_duration duration (duration) duration
string_to_duration duration (string) duration
to_dyn dyn (A) dyn
int64_to_int64 int (int) int
double_to_int64 int (double) int
duration_to_int64 int (duration) int
string_to_int64 int (string) int
timestamp_to_int64 int (timestamp) int
uint64_to_int64 int (uint) int
string_to_string string (string) string
bool_to_string string (bool) string
bytes_to_string string (bytes) string
double_to_string string (double) string
duration_to_string string (duration) string
int64_to_string string (int) string
timestamp_to_string string (timestamp) string
uint64_to_string string (uint) string
ip_to_string string (ip) string
cidr_to_string string (cidr) string
timestamp_to_timestamp timestamp (timestamp) timestamp
int64_to_timestamp timestamp (int) timestamp
string_to_timestamp timestamp (string) timestamp
uint64_to_uint64 uint (uint) uint
double_to_uint64 uint (double) uint
int64_to_uint64 uint (int) uint
string_to_uint64 uint (string) uint
contains_string contains string.(string) bool
ends_with_string endsWith string.(string) bool
starts_with_string startsWith string.(string) bool
matches matches (string,string) bool
matches_string matches string.(string) bool
timestamp_to_year getFullYear timestamp.() int
timestamp_to_year_with_tz getFullYear timestamp.(string) int
timestamp_to_month getMonth timestamp.() int
timestamp_to_month_with_tz getMonth timestamp.(string) int
timestamp_to_day_of_year getDayOfYear timestamp.() int
timestamp_to_day_of_year_with_tz getDayOfYear timestamp.(string) int
timestamp_to_day_of_month getDayOfMonth timestamp.() int
timestamp_to_day_of_month_with_tz getDayOfMonth timestamp.(string) int
timestamp_to_day_of_month_1_based getDate timestamp.() int
timestamp_to_day_of_month_1_based_with_tz getDate timestamp.(string) int
timestamp_to_day_of_week getDayOfWeek timestamp.() int
timestamp_to_day_of_week_with_tz getDayOfWeek timestamp.(string) int
timestamp_to_hours getHours timestamp.() int
timestamp_to_hours_with_tz getHours timestamp.(string) int
duration_to_hours getHours duration.() int
timestamp_to_minutes getMinutes timestamp.() int
timestamp_to_minutes_with_tz getMinutes timestamp.(string) int
duration_to_minutes getMinutes duration.() int
timestamp_to_seconds getSeconds timestamp.() int
timestamp_to_seconds_tz getSeconds timestamp.(string) int
duration_to_seconds getSeconds duration.() int
timestamp_to_milliseconds getMilliseconds timestamp.() int
timestamp_to_milliseconds_with_tz getMilliseconds timestamp.(string) int
duration_to_milliseconds getMilliseconds duration.() int
optional_of optional.of (A) opt(A)
optional_ofNonZeroValue optional.ofNonZeroValue (A) opt(A)
optional_none optional.none () opt(A)
optional_value value opt(A).() A
optional_hasValue hasValue opt(A).() bool
optional_or_optional or opt(A).(opt(A)) opt(A)
optional_orValue_value orValue opt(A).(A) A
optional_unwrap optional.unwrap (list(opt(A))) list(A)
optional_unwrapOpt unwrapOpt list(opt(A)).() list(A)
list_first first list(A).() opt(A)
list_last last list(A).() opt(A)
string_char_at_int charAt string.(int) string
string_index_of_string indexOf string.(string) int
string_index_of_string_int indexOf string.(string,int) int
string_last_index_of_string lastIndexOf string.(string) int
string_last_index_of_string_int lastIndexOf string.(string,int) int
string_lower_ascii lowerAscii string.() string
string_upper_ascii upperAscii string.() string
string_replace_string_string replace string.(string,string) string
string_replace_string_string_int replace string.(string,string,int) string
string_split_string split string.(string) list(string)
string_split_string_int split string.(string,int) list(string)
string_substring_int substring string.(int) string
string_substring_int_int substring string.(int,int) string
string_trim trim string.() string
string_format format string.(list(dyn)) string
strings_quote strings.quote (string) string
list_join join list(string).() string
list_join_string join list(string).(string) string
list_sets_contains_list sets.contains (list(A),list(A)) bool
list_sets_equivalent_list sets.equivalent (list(A),list(A)) bool
list_sets_intersects_list sets.intersects (list(A),list(A)) bool
list_slice slice list(A).(int,int) list(A)
list_flatten flatten list(list(A)).() list(A)
list_flatten_int flatten list(dyn).(int) list(dyn)
list_int_sort sort list(int).() list(int)
list_uint_sort sort list(uint).() list(uint)
list_double_sort sort list(double).() list(double)
list_bool_sort sort list(bool).() list(bool)
list_duration_sort sort list(duration).() list(duration)
list_timestamp_sort sort list(timestamp).() list(timestamp)
list_string_sort sort list(string).() list(string)
list_bytes_sort sort list(bytes).() list(bytes)
list_sort_by @sortByAssociatedKeys list(A).(list(B)) list(A)
lists_range lists.range (int) list(int)
list_reverse reverse list(A).() list(A)
list_distinct distinct list(A).() list(A)
list_a_index_of_int indexOf list(A).(A) int
list_a_last_index_of_int lastIndexOf list(A).(A) int
list_int_is_sorted_bool isSorted list(int).() bool
list_uint_is_sorted_bool isSorted list(uint).() bool
list_double_is_sorted_bool isSorted list(double).() bool
list_bool_is_sorted_bool isSorted list(bool).() bool
list_string_is_sorted_bool isSorted list(string).() bool
list_bytes_is_sorted_bool isSorted list(bytes).() bool
list_duration_is_sorted_bool isSorted list(duration).() bool
list_timestamp_is_sorted_bool isSorted list(timestamp).() bool
list_int_sum_int sum list(int).() int
list_uint_sum_uint sum list(uint).() uint
list_double_sum_double sum list(double).() double
list_duration_sum_duration sum list(duration).() duration
list_int_max_int max list(int).() int
list_uint_max_uint max list(uint).() uint
list_double_max_double max list(double).() double
list_bool_max_bool max list(bool).() bool
list_string_max_string max list(string).() string
list_bytes_max_bytes max list(bytes).() bytes
list_duration_max_duration max list(duration).() duration
list_timestamp_max_timestamp max list(timestamp).() timestamp
list_int_min_int min list(int).() int
list_uint_min_uint min list(uint).() uint
list_double_min_double min list(double).() double
list_bool_min_bool min list(bool).() bool
list_string_min_string min list(string).() string
list_bytes_min_bytes min list(bytes).() bytes
list_duration_min_duration min list(duration).() duration
list_timestamp_min_timestamp min list(timestamp).() timestamp
cel_map_insert_key cel.@mapInsert (map(A,B),A,B) map(A,B)
cel_map_insert_map cel.@mapInsert (map(A,B),map(A,B)) map(A,B)
string_find_string find string.(string) string
string_find_all_string findAll string.(string) list(string)
string_find_all_string_int findAll string.(string,int) list(string)
string_to_url url (string) url
is_url_string isURL (string) bool
url_get_scheme getScheme url.() string
url_get_host getHost url.() string
url_get_hostname getHostname url.() string
url_get_port getPort url.() string
url_get_escaped_path getEscapedPath url.() string
url_get_query getQuery url.() map(string,list(string))
string_to_ip ip (string) ip
cidr_ip ip cidr.() ip
ip_family family ip.() int
ip_is_canonical ip.isCanonical (string) bool
ip_is_unspecified isUnspecified ip.() bool
ip_is_loopback isLoopback ip.() bool
ip_is_link_local_multicast isLinkLocalMulticast ip.() bool
ip_is_link_local_unicast isLinkLocalUnicast ip.() bool
ip_is_global_unicast isGlobalUnicast ip.() bool
is_ip isIP (string) bool
string_to_cidr cidr (string) cidr
cidr_contains_ip_string containsIP cidr.(string) bool
cidr_contains_ip_ip containsIP cidr.(ip) bool
cidr_contains_cidr_string containsCIDR cidr.(string) bool
cidr_contains_cidr containsCIDR cidr.(cidr) bool
cidr_prefix_length prefixLength cidr.() int
cidr_masked masked cidr.() cidr
is_cidr isCIDR (string) bool
string_to_quantity quantity (string) quantity
is_quantity_string isQuantity (string) bool
quantity_sign sign quantity.() int
quantity_is_greater_than isGreaterThan quantity.(quantity) bool
quantity_is_less_than isLessThan quantity.(quantity) bool
quantity_compare_to compareTo quantity.(quantity) int
quantity_get_float asApproximateFloat quantity.() double
quantity_get_int asInteger quantity.() int
quantity_is_integer isInteger quantity.() bool
quantity_add add quantity.(quantity) quantity
quantity_add_int add quantity.(int) quantity
quantity_sub sub quantity.(quantity) quantity
quantity_sub_int sub quantity.(int) quantity
string_to_semver semver (string) semver
string_bool_to_semver semver (string,bool) semver
is_semver_string isSemver (string) bool
is_semver_string_bool isSemver (string,bool) bool
semver_is_greater_than isGreaterThan semver.(semver) bool
semver_is_less_than isLessThan semver.(semver) bool
semver_compare_to compareTo semver.(semver) int
semver_major major semver.() int
semver_minor minor semver.() int
semver_patch patch semver.() int
format-named format.named (string) opt(format)
format-validate validate format.(string) opt(list(string))
format.dns1123Label format.dns1123Label () format
format.dns1123Subdomain format.dns1123Subdomain () format
format.dns1035Label format.dns1035Label () format
format.qualifiedName format.qualifiedName () format
format.dns1123LabelPrefix format.dns1123LabelPrefix () format
format.dns1123SubdomainPrefix format.dns1123SubdomainPrefix () format
format.dns1035LabelPrefix format.dns1035LabelPrefix () format
format.labelValue format.labelValue () format
format.uri format.uri () format
format.uuid format.uuid () format
format.byte format.byte () format
format.date format.date () format
format.datetime format.datetime () format
string_jsonpatch_escapeKey_string jsonpatch.escapeKey (string) string
authorizer_path path authz.(string) path
authorizer_group group authz.(string) group
authorizer_serviceaccount serviceAccount authz.(string,string) authz
groupcheck_resource resource group.(string) resource
resourcecheck_subresource subresource resource.(string) resource
resourcecheck_namespace namespace resource.(string) resource
resourcecheck_name name resource.(string) resource
authorizer_fieldselector fieldSelector resource.(string) resource
authorizer_labelselector labelSelector resource.(string) resource
pathcheck_check check path.(string) decision
resourcecheck_check check resource.(string) decision
decision_errored errored decision.() bool
decision_error error decision.() string
decision_allowed allowed decision.() bool
decision_reason reason decision.() string
";

const EXTRA: &str = "
math_greatest_list math.greatest (list(A)) A
math_greatest_1 math.greatest (A,A) A
math_greatest_2 math.greatest (A,A,A) A
math_least_list math.least (list(A)) A
math_least_1 math.least (A,A) A
math_least_2 math.least (A,A,A) A
math_abs_int math.abs (int) int
math_abs_double math.abs (double) double
math_ceil math.ceil (double) double
math_floor math.floor (double) double
math_round math.round (double) double
math_trunc math.trunc (double) double
math_sign_int math.sign (int) int
math_sign_double math.sign (double) double
base64_encode base64.encode (bytes) string
base64_decode base64.decode (string) bytes
";
