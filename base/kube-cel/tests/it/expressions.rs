//! The language itself: literals, operators, macros, conversions.

use super::check;

#[test]
fn literals() {
    check(
        r#"
        42 => 42
        -42 => -42
        0x1F => 31
        -0x10 => -16
        9223372036854775807 => 9223372036854775807
        -9223372036854775808 => -9223372036854775808
        7u => 7u
        0xFFu => 255u
        18446744073709551615u => 18446744073709551615u
        1.5 => 1.5
        .25 => 0.25
        1e3 => 1000.0
        -2.5E-1 => -0.25
        true => true
        false => false
        null => null
        'abc' => "abc"
        "a'b" => "a'b"
        'a\nb' => "a\nb"
        'a\\b' => "a\\b"
        '\x41\u0042\U00000043\104' => "ABCD"
        r'a\nb' => "a\\nb"
        R"\d+" => "\\d+"
        """a"b""" => "a\"b"
        '''it's''' => "it's"
        b'abc' => "YWJj"
        b'\xff\x00' => "/wA="
        b'ÿ' => "w78="
        [1, 2, 3] => [1,2,3]
        [] => []
        [1, 2,] => [1,2]
        {'a': 1, 'b': 2} => {"a":1,"b":2}
        {} => {}
        {1: 'a', 2: 'b'} => {"1":"a","2":"b"}
        {true: 1} => {"true":1}
        [[1], []] => [[1],[]]
        // nothing
        1 // rest => 1
        "#
        .replace("        // nothing\n", "")
        .as_str(),
    );
}

#[test]
fn arithmetic() {
    check(
        r#"
        1 + 2 * 3 => 7
        (1 + 2) * 3 => 9
        10 - 4 - 3 => 3
        7 / 2 => 3
        -7 / 2 => -3
        7 % 3 => 1
        -7 % 3 => -1
        7u % 4u => 3u
        7.0 / 2.0 => 3.5
        1.0 / 0.0 => inf
        -1.0 / 0.0 => -inf
        0.0 / 0.0 => NaN
        2u * 3u => 6u
        5u - 3u => 2u
        - 5 => -5
        --5 => 5
        -(2 + 3) => -5
        -(-9223372036854775808) => error: integer overflow
        9223372036854775807 + 1 => error: integer overflow
        -9223372036854775808 - 1 => error: integer overflow
        9223372036854775807 * 2 => error: integer overflow
        -9223372036854775808 / -1 => error: integer overflow
        18446744073709551615u + 1u => error: unsigned integer overflow
        3u - 5u => error: unsigned integer overflow
        18446744073709551615u * 2u => error: unsigned integer overflow
        1 / 0 => error: division by zero
        1u / 0u => error: division by zero
        1 % 0 => error: modulus by zero
        'a' + 'b' => "ab"
        b'a' + b'b' => "YWI="
        [1] + [2, 3] => [1,2,3]
        [] + [] => []
        dyn(1) + dyn('a') => error: no such overload
        "#,
    );
}

#[test]
fn equality_and_order() {
    check(
        r#"
        1 == 1 => true
        1 != 2 => true
        1.0 == 1.0 => true
        0.0 == -0.0 => true
        dyn(1) == 1.0 => true
        dyn(1) == 1u => true
        dyn(1u) == 1.0 => true
        dyn(1) == 1.5 => false
        dyn(9007199254740993) == 9007199254740992.0 => false
        dyn('1') == 1 => false
        dyn(null) == 1 => false
        null == null => true
        dyn(true) == 1 => false
        0.0/0.0 == 0.0/0.0 => false
        0.0/0.0 != 0.0/0.0 => true
        'a' == 'a' => true
        b'a' == b'a' => true
        [1, 2] == [1, 2] => true
        [1, 2] == [2, 1] => false
        [1] == [1, 2] => false
        dyn([1, 2]) == [1.0, 2.0] => true
        {'a': 1} == {'a': 1} => true
        {'a': 1, 'b': 2} == {'b': 2, 'a': 1} => true
        {'a': 1} == {'a': 2} => false
        dyn({1: 'a'}) == {1u: 'a'} => true
        1 < 2 => true
        2 <= 2 => true
        3 > 4 => false
        1 < 2u => true
        1 < 1.5 => true
        2u > 1 => true
        2.5 >= 2 => true
        -1 < 1u => true
        9223372036854775807 < 9223372036854775808.0 => true
        'a' < 'b' => true
        'a' < 'B' => false
        'é' > 'z' => true
        b'a' < b'b' => true
        false < true => true
        duration('1m') < duration('1h') => true
        timestamp('2020-01-01T00:00:00Z') < timestamp('2021-01-01T00:00:00Z') => true
        0.0/0.0 < 1.0 => false
        type(1) == int => true
        type(1) == type(2) => true
        type('a') == string => true
        type(1.0) == double => true
        type(1u) == uint => true
        type(true) == bool => true
        type(b'') == bytes => true
        type(null) == null_type => true
        type([]) == list => true
        type({}) == map => true
        type(int) == type => true
        type(int) => type(type)
        type(duration('1s')) => type(google.protobuf.Duration)
        type(timestamp(0)) == google.protobuf.Timestamp => true
        type(optional.none()) => type(optional_type)
        int => type(int)
        list => type(list)
        "#,
    );
}

#[test]
fn logic_absorbs_errors() {
    check(
        r#"
        true && true => true
        true && false => false
        false || true => true
        !true => false
        !!true => true
        false && 1/0 == 1 => false
        1/0 == 1 && false => false
        true || 1/0 == 1 => true
        1/0 == 1 || true => true
        1/0 == 1 || false => error: division by zero
        1/0 == 1 && true => error: division by zero
        true ? 1 : 1/0 => 1
        false ? 1/0 : 2 => 2
        1/0 == 1 ? 1 : 2 => error: division by zero
        true ? (false ? 1 : 2) : 3 => 2
        false ? 1 : true ? 2 : 3 => 2
        true && true && true && false => false
        false || false || true => true
        dyn(1) && false => false
        dyn(1) && true => error: no such overload
        dyn('a') || true => true
        !dyn(1) => error: no such overload
        "#,
    );
}

#[test]
fn access() {
    check(
        r#"
        object.metadata.name => "web"
        object.spec.replicas => 3
        object['spec']['replicas'] => 3
        object.metadata.labels['env.io/x-y'] => "prod"
        object.metadata.labels.`env.io/x-y` => "prod"
        object.spec.containers[1].name => "b"
        object.spec.containers[0].ports => [80,443]
        object.spec.containers[2] => error: index out of bounds: 2
        object.spec.containers[-1] => error: index out of bounds: -1
        object.spec.missing => error: no such key: missing
        object.spec['missing'] => error: no such key: missing
        object.spec.replicas.x => error: no such overload
        object.spec.nothing => null
        object.spec.big => 9007199254740993
        object.spec.ratio => 0.5
        type(object.spec.replicas) => type(int)
        type(object.spec.ratio) => type(double)
        type(object) => type(map)
        [1, 2, 3][0] => 1
        [1, 2, 3][3] => error: index out of bounds: 3
        [1, 2, 3][dyn(1.0)] => 2
        [1, 2, 3][dyn('a')] => error: unsupported index type 'string' in list
        {'a': 1}['a'] => 1
        {'a': 1}.a => 1
        {'a': 1}['b'] => error: no such key: b
        {1: 2}[1] => 2
        {1: 2}[dyn(1u)] => 2
        {1: 2}[dyn(1.0)] => 2
        {1: 2}[3] => error: no such key: 3
        {dyn(1): 1, dyn(1u): 2} => error: insert failed: key 1 already exists
        {dyn(1.5): 1} => error: unsupported key type: double
        1 in [1, 2] => true
        3 in [1, 2] => false
        dyn(1.0) in [1, 2] => true
        'a' in {'a': 1} => true
        'b' in {'a': 1} => false
        'app' in object.metadata.labels => true
        'name' in object.metadata => true
        80 in object.spec.containers[0].ports => true
        has(object.spec) => true
        has(object.spec.missing) => false
        has(object.spec.nothing) => true
        has(object.missing.too) => error: no such key: missing
        has({'a': 1}.a) => true
        has({'a': 1}.b) => false
        size('héllo') => 5
        'abc'.size() => 3
        size(b'\xff') => 1
        size([1, 2]) => 2
        [1, 2].size() => 2
        size({'a': 1}) => 1
        size(object.spec.containers) => 2
        x => 5
        .x => 5
        x.y => error: no such overload
        "#,
    );
}

#[test]
fn macros() {
    check(
        r#"
        [1, 2, 3].all(i, i > 0) => true
        [1, 2, 3].all(i, i > 1) => false
        [].all(i, i > 0) => true
        [1, 0].all(i, 1 / i > 0) => error: division by zero
        [0, -1].all(i, 1 / i > 0) => false
        [1, 2, 3].exists(i, i == 2) => true
        [1, 2, 3].exists(i, i == 5) => false
        [0, 1].exists(i, 1 / i == 1) => true
        [0, 2].exists(i, 1 / i == 1) => error: division by zero
        [1, 2, 2].exists_one(i, i == 1) => true
        [1, 2, 2].exists_one(i, i == 2) => false
        [1, 2, 2].existsOne(i, i == 1) => true
        [1, 0].exists_one(i, 1 / i == 1) => error: division by zero
        [1, 2, 3].map(i, i * 2) => [2,4,6]
        [1, 2, 3].map(i, i > 1, i * 2) => [4,6]
        [1, 2, 3].filter(i, i % 2 == 1) => [1,3]
        {'a': 1, 'b': 2}.map(k, k) => ["a","b"]
        {'a': 1, 'b': 2}.filter(k, k == 'b') => ["b"]
        {'a': 1}.all(k, k == 'a') => true
        {'a': 1}.exists(k, k == 'b') => false
        [[1, 2], [3]].map(l, l.map(i, i + 1)) => [[2,3],[4]]
        [1, 2].map(i, [3].map(i, i)) => [[3],[3]]
        object.spec.containers.all(c, c.image.contains(':')) => true
        object.spec.containers.map(c, c.name) => ["a","b"]
        object.spec.containers.exists(c, size(c.ports) == 0) => true
        object.metadata.labels.all(k, object.metadata.labels[k] != '') => true
        [1, 2, 3].all(i, v, i < v) => true
        [1, 2, 3].exists(i, v, i == v) => false
        [3, 1].exists_one(i, v, i == v) => true
        [1, 2, 3].transformList(i, v, i * v) => [0,2,6]
        [1, 2, 3].transformList(i, v, i > 0, v) => [2,3]
        {'a': 1, 'b': 2}.transformMap(k, v, v + 1) => {"a":2,"b":3}
        {'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) => {"b":2}
        {'a': 'x', 'b': 'y'}.transformMapEntry(k, v, {v: k}) => {"x":"a","y":"b"}
        {'a': 'x', 'b': 'x'}.transformMapEntry(k, v, {v: k}) => error: insert failed: key x already exists
        {'a': 1}.transformList(k, v, k) => ["a"]
        {'a': 1}.all(k, v, k == 'a' && v == 1) => true
        cel.bind(a, 2, a * a) => 4
        cel.bind(a, 1/0, true) => true
        cel.bind(a, 1, cel.bind(b, 2, a + b)) => 3
        dyn(5).all(i, true) => error: no such overload
        "#,
    );
}

#[test]
fn optionals() {
    check(
        r#"
        optional.of(1) => some(1)
        optional.none() => none
        optional.of(1).hasValue() => true
        optional.none().hasValue() => false
        optional.of(1).value() => 1
        optional.none().value() => error: optional.none() dereference
        optional.none().orValue(2) => 2
        optional.of(1).orValue(2) => 1
        optional.none().or(optional.of(3)) => some(3)
        optional.of(1).or(optional.of(3)) => some(1)
        optional.ofNonZeroValue('') => none
        optional.ofNonZeroValue('a') => some("a")
        optional.ofNonZeroValue(0) => none
        optional.ofNonZeroValue([]) => none
        object.?spec.?replicas => some(3)
        object.?missing.?too => none
        object.?missing.too => none
        object.?missing.?too.orValue(7) => 7
        object.spec.?replicas.orValue(1) => 3
        object.?spec.containers[?0].name => some("a")
        object.spec.containers[?5] => none
        object.spec.containers[?5].?name.orValue('none') => "none"
        [1, 2][?1] => some(2)
        [1, 2][?9] => none
        {'a': 1}[?'a'] => some(1)
        {'a': 1}[?'b'].orValue(9) => 9
        {'a': 1}.?a => some(1)
        has(object.?spec.replicas) => true
        has(object.?none.replicas) => false
        optional.of(2).optMap(v, v * 2) => some(4)
        optional.none().optMap(v, v * 2) => none
        optional.of(2).optFlatMap(v, optional.of(v + 1)) => some(3)
        optional.of({'a': 1}).optFlatMap(m, m.?b) => none
        object.?spec.optMap(s, s.replicas + 1).orValue(0) => 4
        [?optional.of(1), ?optional.none(), 3] => [1,3]
        {?'a': optional.of(1), ?'b': optional.none()} => {"a":1}
        optional.of(1) == optional.of(1) => true
        optional.none() == optional.none() => true
        optional.of(1) == optional.none() => false
        optional.unwrap([optional.of(1), optional.none()]) => [1]
        [optional.of(1), optional.none()].unwrapOpt() => [1]
        [1, 2].first() => some(1)
        [1, 2].last() => some(2)
        [].first() => none
        "#,
    );
}

#[test]
fn conversions_and_time() {
    check(
        r#"
        int('42') => 42
        int(3.9) => 3
        int(-3.9) => -3
        int(7u) => 7
        int(18446744073709551615u) => error: integer overflow
        int(1e20) => error: integer overflow
        int('x') => error: type conversion error from 'string' to 'int'
        int(timestamp('1970-01-01T00:01:00Z')) => 60
        uint(5) => 5u
        uint(-1) => error: unsigned integer overflow
        uint('7') => 7u
        double(2) => 2.0
        double('2.5') => 2.5
        string(1) => "1"
        string(1u) => "1"
        string(1.5) => "1.5"
        string(true) => "true"
        string(b'abc') => "abc"
        string(b'\xff') => error: invalid UTF-8 in bytes, cannot convert to string
        string(duration('1h30m')) => "5400s"
        string(duration('1.5s')) => "1.5s"
        string(timestamp('2020-01-02T03:04:05.006Z')) => "2020-01-02T03:04:05.006Z"
        bool('true') => true
        bool('x' + '') => error: type conversion error from 'string' to 'bool'
        bytes('é') => "w6k="
        dyn(1) => 1
        timestamp('2020-01-01T02:00:00+02:00') == timestamp('2020-01-01T00:00:00Z') => true
        timestamp(0) => "1970-01-01T00:00:00Z"
        duration('-1m') => "-60s"
        duration('100ms') + duration('900ms') => "1s"
        duration('1h') - duration('1m') => "3540s"
        timestamp('2020-01-01T00:00:00Z') + duration('24h') => "2020-01-02T00:00:00Z"
        duration('24h') + timestamp('2020-01-01T00:00:00Z') => "2020-01-02T00:00:00Z"
        timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') => "86400s"
        timestamp('2020-01-02T00:00:00Z') - duration('1s') => "2020-01-01T23:59:59Z"
        timestamp('9999-12-30T00:00:00Z') + duration('100h') => error: timestamp overflow
        timestamp('2020-02-29T13:14:15.678Z').getFullYear() => 2020
        timestamp('2020-02-29T13:14:15.678Z').getMonth() => 1
        timestamp('2020-02-29T13:14:15.678Z').getDate() => 29
        timestamp('2020-02-29T13:14:15.678Z').getDayOfMonth() => 28
        timestamp('2020-02-29T13:14:15.678Z').getDayOfYear() => 59
        timestamp('2020-02-29T13:14:15.678Z').getDayOfWeek() => 6
        timestamp('2020-02-29T13:14:15.678Z').getHours() => 13
        timestamp('2020-02-29T13:14:15.678Z').getMinutes() => 14
        timestamp('2020-02-29T13:14:15.678Z').getSeconds() => 15
        timestamp('2020-02-29T13:14:15.678Z').getMilliseconds() => 678
        timestamp('2020-02-29T13:14:15Z').getHours('+02:00') => 15
        timestamp('2020-02-29T13:14:15Z').getHours('-05:30') => 7
        duration('3730s').getHours() => 1
        duration('3730s').getMinutes() => 62
        duration('3730s').getSeconds() => 3730
        duration('1.5s').getMilliseconds() => 1500
        "#,
    );
}
