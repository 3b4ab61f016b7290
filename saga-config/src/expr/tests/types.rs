//! What the checker says, and where.

use super::*;

fn typed() -> Names {
    let input = Type::record([
        ("name", Type::String),
        ("count", Type::Int),
        ("price", Type::Number),
        ("insured", Type::Bool),
        ("items", Type::list(Type::Dyn)),
        ("trip", Type::map(Type::Dyn)),
        ("any", Type::Dyn),
    ]);
    let saga = Type::record([("id", Type::String), ("name", Type::String)]);
    Names::new(&["input", "response", "saga", "body"])
        .with_type("input", input)
        .with_type("response", Type::response())
        .with_type("saga", saga)
}

fn clashes(source: &str) -> Vec<(String, String, Option<String>)> {
    let expression = Expression::compile(source, &typed()).unwrap_or_else(|error| panic!("{source}: {error}"));
    let shown = |clash: &Clash| (source[clash.span.clone()].to_owned(), clash.message.clone(), clash.help.clone());
    expression.clashes().iter().map(shown).collect()
}

#[test]
fn what_clashes_is_told_with_the_part_that_does() {
    for (source, part, message, help) in [
        ("'a' + 1", "'a' + 1", "`+` does not apply to a string and a whole number", "write string(…) around the number"),
        (
            "1 + ('ü' + 10.5e-3)",
            "'ü' + 10.5e-3",
            "`+` does not apply to a string and a number with a fraction",
            "write string(…) around the number",
        ),
        ("input.items + 1", "input.items + 1", "`+` does not apply to a list and a whole number", ""),
        ("body.x - input.name", "body.x - input.name", "`-` does not apply to a value and a string", ""),
        ("input.trip + body", "input.trip + body", "`+` does not apply to a map and a value", ""),
        (
            "1 + 2u",
            "1 + 2u",
            "`+` does not apply to a whole number and a whole number without a sign",
            "write int(…) around what has no sign",
        ),
        ("1.5 % 2", "1.5 % 2", "`%` does not apply to a number with a fraction and a whole number", ""),
        ("-input.name", "-input.name", "`-` does not apply to a string", ""),
        ("size(3)", "3", "this is a whole number, which `size` does not take", "it takes a string or bytes or a list or a map"),
        (
            "1 == 2 || size( (input.count) ) > 0",
            "input.count",
            "this is a whole number, which `size` does not take",
            "it takes a string or bytes or a list or a map",
        ),
        (
            "response.status == '402'",
            "response.status == '402'",
            "a whole number and a string are never equal",
            "write 402, without quotes",
        ),
        ("input.name != 402", "input.name != 402", "a string and a whole number are never equal", "write the number in quotes"),
        (
            "response.?status == 402",
            "response.?status == 402",
            "a value that may be absent and a whole number are never equal",
            "end it with `.orValue(…)`, or ask with `.hasValue()`",
        ),
        (
            "body.?id == null",
            "body.?id == null",
            "a value that may be absent and null are never equal",
            "end it with `.orValue(…)`, or ask with `.hasValue()`",
        ),
        (
            "response.status in ['402', '409']",
            "response.status in ['402', '409']",
            "a whole number is never in a list of which each item is a string",
            "",
        ),
        ("'a' in input.name", "input.name", "this is a string; `in` looks into lists and maps", "write text.contains(part)"),
        ("1 in 2", "2", "this is a whole number; `in` looks into lists and maps", ""),
        ("[] in input.trip", "[]", "this is a list, and no map has such a key", ""),
        ("saga.id > 3", "saga.id > 3", "`>` does not apply to a string and a whole number", "write int(…) around the string"),
        ("input.items < 3", "input.items < 3", "`<` does not apply to a list and a whole number", ""),
        (
            "input.count ? 1 : 2",
            "input.count",
            "this is a whole number, and has to be true or false",
            "compare it with something",
        ),
        (
            "input.insured && input.items",
            "input.items",
            "this is a list, and has to be true or false",
            "compare its size: `size(…) > 0`",
        ),
        ("!input.name", "input.name", "this is a string, and has to be true or false", "compare it: `… == 'yes'`"),
        (
            "input.name[0]",
            "input.name",
            "this is a string, and only lists and maps have items",
            "write text.charAt(0), or text.substring(0, 2)",
        ),
        ("input.items['a']", "'a'", "this is a string, and the items of a list have numbers", ""),
        ("input.items.sku", "input.items", "this is a list; it has no field `sku`", "write [0].sku, or .map(item, item.sku)"),
        ("input.name.first", "input.name", "this is a string; it has no field `first`", ""),
        ("has(input.count.x) ? 1 : 2", "input.count", "this is a whole number; it has no field `x`", ""),
        ("saga.nmae", "saga.nmae", "there is no field `nmae`", "did you mean `name`?"),
        ("{'a': 1}.b", "{'a': 1}.b", "there is no field `b`", "there are a"),
        ("{'a': 1}['b']", "'b'", "there is no field `b`", ""),
        ("{1.5: 2}", "1.5", "this is a number with a fraction, and a key has to be a string", ""),
        (
            "input.name.all(x, true)",
            "input.name",
            "this is a string, and only lists and maps have items to go over",
            "`.split('')` gives its characters",
        ),
        (
            "body.?items.exists(x, x)",
            "body.?items",
            "this is a value that may be absent, and only lists and maps have items to go over",
            "end it with `.orValue([])`",
        ),
        ("input.items.all(x, 'a')", "'a'", "this is a string, and has to be true or false", "compare it: `… == 'yes'`"),
        (
            "input.items.filter(x, size(x))",
            "size(x)",
            "this is a whole number, and has to be true or false",
            "compare it with something",
        ),
        (
            "[1, 2].map(x, x + 'a')",
            "x + 'a'",
            "`+` does not apply to a whole number and a string",
            "write string(…) around the number",
        ),
        (
            "input.items.map(x, x.y)[0].all(z, 1)",
            "1",
            "this is a whole number, and has to be true or false",
            "compare it with something",
        ),
        (
            "input.count.orValue(1)",
            "input.count",
            "this is a whole number, which has no method `orValue`",
            "a `?` makes it optional: `a.?b`",
        ),
        (
            "input.count.startsWith('a')",
            "input.count",
            "this is a whole number, which has no method `startsWith`",
            "it takes a string",
        ),
        ("input.name.startsWith(1)", "1", "this is a whole number, which `startsWith` does not take", "it takes a string"),
        ("input.count.matches('a')", "input.count", "this is a whole number, which has no method `matches`", "it takes a string"),
        ("[1].join(',')", "[1]", "this is a list, which has no method `join`", "it takes a list of strings"),
        (
            "sha256(input.?name)",
            "input.?name",
            "this is a value that may be absent, which `sha256` does not take",
            "end it with `.orValue(…)`",
        ),
        (
            "body.?a.optMap(x, x + 1).orValue('')[true ? 1 : 0] + (input.insured - 1)",
            "input.insured - 1",
            "`-` does not apply to true or false and a whole number",
            "",
        ),
    ] {
        let help = (!help.is_empty()).then(|| help.to_owned());
        assert_eq!(clashes(source), [(part.to_owned(), message.to_owned(), help)], "{source}");
    }
}

#[test]
fn all_that_clashes_is_told_at_once_in_order() {
    let found: Vec<String> =
        clashes("-'a' == 'b' && input.count + 'c' == 'd' && size(1) > 0").into_iter().map(|(part, ..)| part).collect();
    assert_eq!(found, ["-'a'", "input.count + 'c'", "1"]);
}

#[test]
fn what_may_be_right_is_not_refused() {
    for source in [
        "body.a + 1",
        "body.a + 'x'",
        "body == 1 || body == 'x'",
        "input.any.x[0].y.z(1 == 1)".trim_end_matches(".z(1 == 1)"),
        "input.name == null || input.count != null",
        "input.price + 1 > 2 && input.price % 2 == 0",
        "input.count == 1.5 || input.count in [1.5, 2u]",
        "input.items == [] || input.trip == {}",
        "input.items[0] + input.items[1]",
        "input.items[input.price]",
        "input.trip.to in ['US', 'IN']",
        "'to' in input.trip && 1 in input.items && 'a' in []",
        "input.items.exists(i, i.qty > 1) && input.trip.all(k, k != '')",
        "input.items.map(i, i.qty).filter(q, q > 0)[0] > 1",
        "response.headers['x-count'] == '3' && response.headers.location.startsWith('/')",
        "response.headers.?location.orValue('') == ''",
        "body.?a.orValue(0) + body.?b.orValue(0) == 3",
        "body.?a.b.orValue(null) == null",
        "(body.x ? 1 : 'a') == 'a'",
        "[1, 'a'][0] == 'a'",
        "{'a': 1, 'b': 'x'}[body.key] == 'x'",
        "dyn(1) == 'a'",
        "optional.of(1).or(optional.none()).orValue(2) == 1",
        "body.?a.optMap(x, x + 1).orValue(0) > 0",
        "body.?a.optFlatMap(x, x.?y).hasValue()",
        "type(body.a) == string && type(1) == type(2)",
        "input.name.split(',').map(p, p.trim()).join('-') == 'a'",
        "math.least(input.count, 3) + 1 == 2 && math.round(input.price) == 3",
        "string(input.price) + string(input.count) + string(input.insured)",
        "input.name.matches('^a') ? b'a' == bytes('a') : true",
        "[?body.?a, 1][0] == 1 && size({?'a': body.?a}) == 0",
        "[].map(x, x.y)[0].z == 1",
    ] {
        assert_eq!(clashes(source), [], "{source}");
    }
}

#[test]
fn what_a_value_is_wanted_for_is_held_against_it() {
    let wrong = |source: &str, wanted| {
        let expression = Expression::compile(source, &typed()).unwrap();
        expression.clash_as(wanted).map(|clash| (source[clash.span].to_owned(), clash.message))
    };
    for (source, wanted, message) in [
        (" size(input.items) ", Use::Condition, "this is a whole number, and has to be true or false"),
        ("body.?a", Use::Condition, "this may be absent, and has to be a value"),
        ("body.?a", Use::Value, "this may be absent, and has to be a value"),
        ("bytes(input.name)", Use::Value, "these are bytes, which is not JSON"),
        ("type(body)", Use::Value, "this is a type, which is not JSON"),
        ("input.items", Use::Text, "this is a list; only strings, numbers and booleans can stand inside of text"),
        ("null", Use::Text, "this is null; only strings, numbers and booleans can stand inside of text"),
        ("input.trip", Use::List, "this is a map, and has to be a list"),
        ("input.insured", Use::Status, "this is true or false, and has to be a status such as 201"),
    ] {
        assert_eq!(wrong(source, wanted), Some((source.trim().to_owned(), message.to_owned())), "{source}");
    }
    for (source, wanted) in [
        ("input.insured", Use::Condition),
        ("body.a", Use::Condition),
        ("body.a ? body.b : false", Use::Condition),
        ("input.items", Use::Value),
        ("input.price", Use::Text),
        ("input.insured", Use::Text),
        ("body", Use::Text),
        ("input.items.map(x, x)", Use::List),
        ("body.a == 1 ? 402 : 409", Use::Status),
    ] {
        assert_eq!(wrong(source, wanted), None, "{source}");
    }
}
