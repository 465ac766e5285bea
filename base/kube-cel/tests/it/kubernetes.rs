//! The libraries that Kubernetes brings, and the examples of its documentation.

use kube_cel::{
    Activation, Allowed, Authorizer, Check, Decl, Env, Form, ListKind, Program, RUNTIME_BUDGET, Type, Val,
};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{check, shown};

#[test]
fn strings() {
    check(
        r#"
        'hello'.contains('ell') => true
        'hello'.startsWith('he') => true
        'hello'.endsWith('lo') => true
        'hello'.matches('^h.*o$') => true
        'hello'.matches('^l') => false
        matches('hello', 'l+') => true
        'hello'.charAt(1) => "e"
        'hello'.charAt(5) => ""
        'hello'.charAt(6) => error: index out of range: 6
        'hello mellow'.indexOf('ello') => 1
        'hello mellow'.indexOf('jello') => -1
        'hello mellow'.indexOf('', 2) => 2
        'hello mellow'.indexOf('ello', 2) => 7
        'hello mellow'.indexOf('ello', 20) => error: index out of range: 20
        'hello mellow'.lastIndexOf('ello') => 7
        'hello mellow'.lastIndexOf('ello', 6) => 1
        'hello mellow'.lastIndexOf('') => 12
        'TacoCat'.lowerAscii() => "tacocat"
        'TacoCÆt Xii'.lowerAscii() => "tacocÆt xii"
        'TacoCat'.upperAscii() => "TACOCAT"
        'hello hello'.replace('he', 'we') => "wello wello"
        'hello hello'.replace('he', 'we', 1) => "wello hello"
        'hello hello'.replace('he', 'we', 0) => "hello hello"
        'hello hello'.replace('', '_') => "_h_e_l_l_o_ _h_e_l_l_o_"
        'hello hello hello'.split(' ') => ["hello","hello","hello"]
        'hello hello hello'.split(' ', 0) => []
        'hello hello hello'.split(' ', 1) => ["hello hello hello"]
        'hello hello hello'.split(' ', 2) => ["hello","hello hello"]
        'abc'.split('') => ["a","b","c"]
        'tacocat'.substring(4) => "cat"
        'tacocat'.substring(0, 4) => "taco"
        'tacocat'.substring(9) => error: index out of range: 9
        'tacocat'.substring(2, 1) => error: invalid substring range. start: 2, end: 1
        '  \ttrim\n    '.trim() => "trim"
        ['hello', 'mellow'].join() => "hellomellow"
        ['hello', 'mellow'].join(' ') => "hello mellow"
        [].join('/') => ""
        strings.quote('a "b"\n') => "\"a \\\"b\\\"\\n\""
        'this is a string: %s'.format(['x']) => "this is a string: x"
        '%d and %d%%'.format([dyn(1), 2u]) => "1 and 2%"
        '%.2f'.format([3.14159]) => "3.14"
        '%f'.format([1.5]) => "1.500000"
        '%e'.format([1234.5]) => "1.234500e+03"
        '%b %o %x %X'.format([5, 8, 255, 255]) => "101 10 ff FF"
        '%x'.format(['hi']) => "6869"
        '%s %s'.format([dyn([dyn(1), 'a']), {'k': true}]) => "[1, a] {k: true}"
        '%s'.format([null]) => "null"
        '%d'.format(['a']) => error: error during formatting: decimal clause can only be used on integers, was given string
        '%s'.format([]) => error: index 0 out of range
        '%q'.format([1]) => error: could not parse formatting clause: unrecognized formatting clause "q"
        'abc 123'.find('[0-9]+') => "123"
        'abc'.find('[0-9]+') => ""
        '123 abc 456'.findAll('[0-9]+') => ["123","456"]
        '123 abc 456'.findAll('[0-9]+', 1) => ["123"]
        '123 abc 456'.findAll('[0-9]+', -1) => ["123","456"]
        jsonpatch.escapeKey('k8s.io/my~label') => "k8s.io~1my~0label"
        "#,
    );
}

#[test]
fn lists_and_sets() {
    check(
        r#"
        [1, 2, 3].isSorted() => true
        [3, 1].isSorted() => false
        ['a', 'b', 'b', 'c'].isSorted() => true
        [2.0, 1.0].isSorted() => false
        [].isSorted() => true
        [1, 2, 3].sum() => 6
        [1.5, 2.5].sum() => 4.0
        [duration('1m'), duration('1s')].sum() => "61s"
        [1, 3].min() => 1
        [1, 3].max() => 3
        ['b', 'a'].min() => "a"
        [].min() => error: min called on empty list
        [].max() => error: max called on empty list
        [1, 2, 2, 3].indexOf(2) => 1
        ['a', 'b', 'b', 'c'].lastIndexOf('b') => 2
        [1.0].indexOf(1.1) => -1
        [1, 2, 3, 4].slice(1, 3) => [2,3]
        [1].slice(0, 2) => error: cannot slice(0, 2), list is length 1
        [1].slice(-1, 0) => error: cannot slice(-1, 0), negative indexes not supported
        [1].slice(1, 0) => error: cannot slice(1, 0), start index must be less than or equal to end index
        [[1, 2], [3]].flatten() => [1,2,3]
        [dyn([dyn(1), [2]]), dyn([3])].flatten(2) => [1,2,3]
        [3, 1, 2].sort() => [1,2,3]
        ['b', 'a'].sort() => ["a","b"]
        [{'n': 2}, {'n': 1}].sortBy(e, e.n) => [{"n":1},{"n":2}]
        lists.range(3) => [0,1,2]
        [1, 2, 3].reverse() => [3,2,1]
        [1, 2, 1, 3, 2].distinct() => [1,2,3]
        sets.contains([1, 2, 3], [1, 3]) => true
        sets.contains([1], [2]) => false
        sets.contains([], []) => true
        sets.equivalent([1, 2], [2, 1, 1]) => true
        sets.equivalent([1], [1, 2]) => false
        sets.intersects([1, 2], [2, 3]) => true
        sets.intersects([1], [2]) => false
        math.greatest(1, 2) => 2
        math.least([3, 1, 2]) => 1
        math.abs(-3) => 3
        base64.encode(b'hello') => "aGVsbG8="
        string(base64.decode('aGVsbG8')) => "hello"
        "#,
    );
}

#[test]
fn addresses() {
    check(
        r#"
        isIP('127.0.0.1') => true
        isIP('::1') => true
        isIP('127.0.0.256') => false
        isIP(':::1') => false
        isIP('127.0.0.01') => false
        isIP('::ffff:1.2.3.4') => false
        isIP('fe80::1%eth0') => false
        ip('127.0.0.1') == ip('127.0.0.1') => true
        ip('127.0.0.1') == ip('10.0.0.1') => false
        ip('2001:db8::abcd') == ip('2001:DB8::ABCD') => true
        ip.isCanonical('127.0.0.1') => true
        ip.isCanonical('2001:db8::abcd') => true
        ip.isCanonical('2001:DB8::ABCD') => false
        ip('127.0.0.1').family() => 4
        ip('::1').family() => 6
        ip('0.0.0.0').isUnspecified() => true
        ip('127.0.0.1').isLoopback() => true
        ip('::1').isLoopback() => true
        ip('224.0.0.1').isLinkLocalMulticast() => true
        ip('ff02::1').isLinkLocalMulticast() => true
        ip('169.254.169.254').isLinkLocalUnicast() => true
        ip('192.168.0.1').isGlobalUnicast() => true
        ip('255.255.255.255').isGlobalUnicast() => false
        ip('2001:db8::abcd').isGlobalUnicast() => true
        string(ip('2001:DB8::ABCD')) => "2001:db8::abcd"
        type(ip('::1')) => type(net.IP)
        ip('x') => error: IP Address "x" parse error during conversion from string: ParseAddr("x"): unable to parse IP
        cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) => true
        cidr('192.168.0.0/24').containsIP('192.168.1.1') => false
        cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24')) => true
        cidr('192.168.1.0/24').containsCIDR('192.168.2.0/24') => false
        cidr('192.168.0.0/24').containsCIDR('192.168.0.0/23') => false
        cidr('2001:db8::/32').containsIP('2001:db8::1') => true
        cidr('10.0.0.0/8').containsIP('::1') => false
        cidr('192.168.0.1/24').ip().family() => 4
        cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') => true
        cidr('192.168.0.0/24').prefixLength() => 24
        string(cidr('192.168.0.1/24').masked()) => "192.168.0.0/24"
        isCIDR('192.168.0.0/24') => true
        isCIDR('192.168.0.0/33') => false
        isCIDR('192.168.0.0') => false
        "#,
    );
}

#[test]
fn urls_quantities_versions_formats() {
    check(
        r#"
        url('https://example.com:80/').getHost() => "example.com:80"
        url('https://example.com/').getHost() => "example.com"
        url('https://[::1]:80/').getHost() => "[::1]:80"
        url('https://[::1]/').getHostname() => "::1"
        url('https://example.com:80/').getHostname() => "example.com"
        url('https://example.com:80/').getPort() => "80"
        url('https://example.com/').getPort() => ""
        url('HTTPS://example.com').getScheme() => "https"
        url('/path').getScheme() => ""
        url('https://example.com/path with spaces/').getEscapedPath() => "/path%20with%20spaces/"
        url('https://example.com').getEscapedPath() => ""
        url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() => {"k1":["a"],"k2":["b","c"]}
        url('https://example.com/path').getQuery() => {}
        isURL('https://user:pass@example.com:80/path?query=val#fragment') => true
        isURL('/absolute-path') => true
        isURL('https://a:b:c/') => false
        isURL('../relative-path') => false
        url('../x') => error: URL parse error during conversion from string: parse "../x": invalid URI for request
        isQuantity('1.3Gi') => true
        isQuantity('1.3GiB') => false
        isQuantity('1,3G') => false
        isQuantity('10000k') => true
        isQuantity('1e3') => true
        isQuantity('Three') => false
        quantity('200M').isGreaterThan(quantity('100M')) => true
        quantity('50M').isLessThan(quantity('100M')) => true
        quantity('200M').compareTo(quantity('0.2G')) => 0
        quantity('50Mi').compareTo(quantity('50M')) => 1
        quantity('50k').add(quantity('20k')) == quantity('70k') => true
        quantity('50k').add(20) == quantity('50020') => true
        quantity('50k').sub(quantity('20k')) == quantity('30k') => true
        quantity('50k').sub(20000) == quantity('30k') => true
        quantity('-5').sign() => -1
        quantity('9999999999999999999999999999999999999G').isInteger() => false
        quantity('50000000G').isInteger() => true
        quantity('50000000G').asInteger() => 50000000000000000
        quantity('50.7k').asApproximateFloat() => 50700.0
        quantity('0.5').asInteger() => error: cannot convert value to integer
        quantity('100m') == quantity('0.1') => true
        quantity('x') => error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
        object.spec.containers.map(c, quantity(c.cpu).asApproximateFloat()).sum() => 1.25
        isSemver('1.0.0') => true
        isSemver('v1.0') => false
        isSemver('v1.0', true) => true
        isSemver('1.0.0-alpha+beta') => true
        isSemver('01.0.0') => false
        semver('1.2.3').major() => 1
        semver('1.2.3').minor() => 2
        semver('1.2.3').patch() => 3
        semver('1.2.3').compareTo(semver('1.2.3')) => 0
        semver('1.2.3').isGreaterThan(semver('1.2.3-rc.1')) => true
        semver('1.2.3').isLessThan(semver('2.0.0')) => true
        semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10')) => true
        semver('v01.01', true) == semver('1.1.0') => true
        semver('hello') => error: No Major.Minor.Patch elements found
        !format.dns1123Label().validate('my-label-name').hasValue() => true
        format.dns1123Label().validate('Not OK').hasValue() => true
        format.named('dns1123Label').hasValue() => true
        format.named('nothing').hasValue() => false
        format.named('uuid').value().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() => false
        format.uuid().validate('x').value() => ["does not match the UUID format"]
        format.byte().validate('aGVsbG8=').hasValue() => false
        format.date().validate('2021-01-01').hasValue() => false
        format.datetime().validate('2021-01-01T00:00:00Z').hasValue() => false
        format.uri().validate('http://example.com').hasValue() => false
        format.labelValue().validate('my-cool-label-value').hasValue() => false
        format.qualifiedName().validate('apps.example.com/v1').hasValue() => false
        format.dns1123LabelPrefix().validate('my-label-').hasValue() => false
        format.dns1123Subdomain().validate('apiextensions.k8s.io').hasValue() => false
        format.dns1035Label().validate('my-label-name').hasValue() => false
        "#,
    );
}

#[test]
fn objects_that_are_made() {
    check(
        r#"
        Object{spec: Object.spec{replicas: 3}} => {"spec":{"replicas":3}}
        Object{metadata: Object.metadata{labels: {'a': 'b'}}} => {"metadata":{"labels":{"a":"b"}}}
        Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a'}]}} => {"spec":{"containers":[{"name":"a"}]}}
        Object{?spec: optional.none()} => {}
        Object{} => {}
        type(Object{}) => type(Object)
        Object{spec: Object.metadata{}} => error: unexpected type name "Object.metadata", expected "Object.spec", which matches field name path from root Object type
        Object{spec: Object.spec{a: 1}}.spec.a => 1
        has(Object{spec: Object.spec{}}.spec) => true
        JSONPatch{op: 'add', path: '/a', value: 1} => {"op":"add","path":"/a","value":1}
        [JSONPatch{op: 'remove', path: '/x'}] => [{"op":"remove","path":"/x"}]
        [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'}] => [{"op":"add","path":"/metadata/labels/a~1b","value":"x"}]
        "#,
    );
}

fn crd() -> Arc<Decl> {
    let int = || Decl::plain(Type::Int, 0, 1);
    let string = |max| Decl::plain(Type::String, max, 2);
    let item = Decl::object("", [("key".to_owned(), string(40)), ("value".to_owned(), int())], 2);
    let fields = [
        ("minReplicas", int()),
        ("replicas", int()),
        ("maxReplicas", int()),
        ("health", string(40)),
        ("namespace", string(40)),
        ("x-prop", int()),
        ("redact__d", int()),
        ("date", Decl { form: Form::DateTime, ..Decl::plain(Type::Timestamp, 32, 21) }),
        ("ttl", Decl { form: Form::Duration, ..Decl::plain(Type::Duration, 32, 3) }),
        ("raw", Decl { form: Form::Bytes, ..Decl::plain(Type::Bytes, 100, 2) }),
        ("port", Decl::any()),
        ("set1", Decl::list(string(40), Some(10), ListKind::Set)),
        ("set2", Decl::list(string(40), Some(10), ListKind::Set)),
        ("listMap", Decl::list(item, Some(10), ListKind::Map(Arc::from(["key".to_owned()])))),
        ("labels", Decl::map(string(40), Some(10))),
    ];
    let fields = fields.map(|(name, decl)| (name.to_owned(), decl));
    Arc::new(Decl::object("", fields, 2).named("selfType"))
}

fn ruled(text: &str, this: &Value, old: &Value) -> String {
    let decl = crd();
    let env = Env::new().with_decl("self", &decl).with_decl("oldSelf", &decl);
    let program = match Program::compile(text, &env) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let activation = Activation::new().with("self", this).with("oldSelf", old);
    let mut budget = RUNTIME_BUDGET;
    program.evaluate(&activation, &mut budget).map_or_else(|error| error.to_string(), |value| shown(&value))
}

#[test]
fn rules_of_the_documentation() {
    let this = json!({
        "minReplicas": 1, "replicas": 2, "maxReplicas": 3, "health": "ok", "namespace": "a", "x-prop": 1, "redact__d": 2,
        "date": "2020-01-01T00:00:00Z", "ttl": "1h", "raw": "aGk=", "port": 80,
        "set1": ["a", "b"], "set2": ["b", "a"],
        "listMap": [{"key": "a", "value": 1}, {"key": "b", "value": 2}], "labels": {"app": "x"},
    });
    let mut old = this.clone();
    old["listMap"] = json!([{"key": "b", "value": 2}, {"key": "a", "value": 1}]);
    let table = [
        ("self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas", "true"),
        ("self.__namespace__ == 'a'", "true"),
        ("self.x__dash__prop > 0", "true"),
        ("self.redact__underscores__d == 2", "true"),
        ("self.set1 == self.set2", "true"),
        ("self.set1 + ['c', 'a']", r#"["a","b","c"]"#),
        ("self.listMap == oldSelf.listMap", "true"),
        ("self.listMap.all(i, i.value > 0)", "true"),
        ("self.listMap.exists(i, i.key == 'b' && i.value == 2)", "true"),
        ("(self.listMap + [oldSelf.listMap[0]]).size()", "2"),
        ("'app' in self.labels", "true"),
        ("self.labels.all(k, k.startsWith('a'))", "true"),
        ("self.date < timestamp('2021-01-01T00:00:00Z')", "true"),
        ("self.ttl == duration('60m')", "true"),
        ("self.raw == b'hi'", "true"),
        ("type(self.port) == int ? self.port == 80 : self.port == '80'", "true"),
        ("self.health.startsWith('o')", "true"),
        ("self.set1.exists(e, e in self.set2)", "true"),
        ("has(self.health) && !has(oldSelf.port)", "false"),
        ("self == oldSelf", "true"),
        ("size(self.set1) == size(self.set2)", "true"),
        ("self.set1.all(e, self.set2.exists(f, f == e))", "true"),
        ("self.listMap.filter(i, i.value > 1).map(i, i.key)", r#"["b"]"#),
        ("self.minReplicas + self.maxReplicas == 2 * self.replicas", "true"),
        (
            "self.missing == 1",
            "ERROR: <input>:1:5: undefined field 'missing'\n | self.missing == 1\n | ....^",
        ),
        (
            "self.health == 1",
            "ERROR: <input>:1:13: found no matching overload for '_==_' applied to '(string, int)'\n | self.health == 1\n | ............^",
        ),
        (
            "self.replicas.x",
            "ERROR: <input>:1:14: type 'int' does not support field selection\n | self.replicas.x\n | .............^",
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(ruled(text, &this, &old), wanted, "{text}");
    }
}

struct Everyone;

impl Authorizer for Everyone {
    fn decide(&self, check: &Check) -> Result<Allowed, String> {
        if check.verb == "broken" {
            return Err("down".to_owned());
        }
        let who = check.service_account.as_ref().map(|(_, name)| name.clone()).unwrap_or_default();
        let reason = format!(
            "{}/{}/{}/{}/{}{who}",
            check.group, check.resource, check.namespace, check.name, check.path
        );
        Ok(Allowed { allowed: check.verb == "get", reason })
    }
}

#[test]
fn the_authorizer_is_asked() {
    let request = Check { stage: kube_cel::Stage::Resource, resource: "pods".to_owned(), ..Check::default() };
    let table = [
        ("authorizer.group('').resource('pods').namespace('default').check('create').allowed()", "false"),
        ("authorizer.group('apps').resource('deployments').name('x').check('get').allowed()", "true"),
        (
            "authorizer.group('a').resource('b').namespace('c').name('d').check('get').reason()",
            "\"a/b/c/d/\"",
        ),
        ("authorizer.path('/healthz').check('get').allowed()", "true"),
        (
            "authorizer.serviceAccount('default', 'sa').group('').resource('p').check('get').reason()",
            "\"/p///sa\"",
        ),
        ("authorizer.requestResource.check('get').reason()", "\"/pods///\""),
        ("authorizer.path('/x').check('broken').errored()", "true"),
        ("authorizer.path('/x').check('broken').error()", "\"down\""),
        ("authorizer.path('').check('get').allowed()", "path must not be empty"),
        ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty"),
        (
            "['a', 'b', 'c'].all(r, !authorizer.group('').resource(r).check('list').allowed())",
            "operation cancelled: actual cost limit exceeded",
        ),
    ];
    let env = Env::new().with_authorizer();
    for (text, wanted) in table {
        let program = Program::compile(text, &env).expect(text);
        let activation = Activation::new().with_authorizer(&Everyone, Some(request.clone()));
        let mut budget = RUNTIME_BUDGET;
        let found = program.evaluate(&activation, &mut budget);
        let found = found.map_or_else(|error| error.to_string(), |value: Val<'_>| shown(&value));
        assert_eq!(found, wanted, "{text}");
    }
}

#[test]
fn costs_are_estimated_and_counted() {
    let decl = crd();
    let env = Env::new().with_decl("self", &decl).with_decl("oldSelf", &decl);
    // The most, by upstream's rules: one for a name, one for a field, sizes by declaration.
    let table = [
        ("true", 0),
        ("self.replicas == 1", 2),
        ("self.minReplicas <= self.replicas", 5),
        ("self.health == 'ok'", 3),
        ("self.health.startsWith('abcdefghijk')", 4),
        ("has(self.health)", 1),
        ("[1, 2, 3]", 10),
        ("{'a': 1}", 30),
        ("self.set1.all(e, e == 'x')", 2 + 10 * (1 + 1 + 1 + 1 + 1) + 1),
        ("self.health.contains('x')", 2 + 4),
        ("self.health.matches('a+b+')", 2 + 5),
        ("self.replicas > 1 && self.replicas < 5", 6),
        ("self.replicas > 1 ? self.health : 'x'", 5),
        ("'x' in self.set1", 2 + 10),
    ];
    for (text, wanted) in table {
        let program = Program::compile(text, &env).expect(text);
        assert_eq!(program.estimate().max, wanted, "{text}");
        let this = json!({"replicas": 2, "minReplicas": 1, "health": "ok", "set1": ["x", "y"]});
        let activation = Activation::new().with("self", &this);
        let mut budget = 1000;
        assert!(program.evaluate(&activation, &mut budget).is_ok(), "{text}");
        // Numbers have no size by their declaration, but one when they are compared.
        assert!(1000 - budget <= wanted + 2, "{text} cost {}", 1000 - budget);
        let mut budget = 0;
        if wanted > 0 && text != "has(self.health)" {
            assert!(program.evaluate(&activation, &mut budget).is_err(), "{text}");
        }
    }
}
