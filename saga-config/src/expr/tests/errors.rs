use super::*;

#[test]
fn an_evaluation_error_names_the_path_and_never_a_value() {
    let request = body(r#"{"a": "s3cret", "n": null, "items": ["s3cret"], "m": {"s3cret": 1}}"#);
    for (source, message) in [
        ("request.body.amount", "`request.body` has no field `amount`"),
        ("request.body.amount + 1", "`request.body` has no field `amount`"),
        ("request.bdy.amount.x == 1", "`request` has no field `bdy`"),
        ("request.body.a.b", "`request.body.a` is a string; it has no field `b`"),
        ("request.body.n.b == 1", "`request.body.n` is null; it has no field `b`"),
        ("request.body.items[3]", "`request.body.items` has 1 items, and no [3]"),
        ("request.body.items['x'] == 1", "`request.body.items` is a list; it has no field `x`"),
        ("has(request.body.a.b)", "`request.body.a` is a string; it has no field `b`"),
        ("has(request.nope.b)", "`request` has no field `nope`"),
        ("request.body.?a.b.orValue(1)", "`request.body.?a` is a string; it has no field `b`"),
        ("size(request.body.n)", "`request.body.n` is null, which has no size"),
        ("request.body.items.map(i, i.sku)", "field selection does not apply to string and string"),
        ("[{'a': 1}].map(i, i.b)", "a map in the expression has no field `b`"),
        ("request.body.a + 1", "`+` does not apply to string and int"),
        ("9007199254740993 + 0.5", "`+` does not apply to int and double"),
        ("-9223372036854775808 / -1", "the result of `/` does not fit 64 bits"),
        ("size(request.body.?a)", "`size` does not apply to optional_type"),
        ("request.body.a < 1", "`<` does not apply to string and int"),
        ("-request.body.a == 1", "`-` does not apply to string"),
        ("request.body.a && true", "`&&` does not apply to string and bool"),
        ("request.body.a ? 1 : 2", "bool is needed here, not string"),
        ("1 / (size(request.body.items) - 1)", "division by zero"),
        ("request.body.?a", "the expression gives an optional: end it with `.orValue(…)`"),
        ("request.body.?b", "the expression gives an optional without a value: end it with `.orValue(…)`"),
        ("b'abc'", "the expression gives a value of type `bytes`, which is not JSON"),
        ("{1: 'a'}", "the expression gives a map with a key that is not a string, which is not JSON"),
        ("response.status", "nothing is bound to `response` here"),
        ("response.status == 1", "nothing is bound to `response` here"),
    ] {
        let error = eval_on(source, &request).unwrap_err().to_string();
        assert_eq!(error, message, "{source}");
        assert!(!error.contains("s3cret"), "{source}: {error}");
    }
}

#[test]
fn no_message_shows_a_value_whatever_goes_wrong() {
    let request = body(r#"{"a": "s3cret", "m": {"s3cret": 1}, "l": ["s3cret"]}"#);
    for operation in [
        "int(VAL)",
        "double(VAL)",
        "bool(VAL)",
        "uint(VAL)",
        "VAL % 2",
        "VAL - VAL",
        "VAL * 3",
        "VAL / VAL",
        "!VAL",
        "VAL[VAL]",
        "VAL[0]",
        "VAL.x",
        "VAL in 3",
        "1 in VAL",
        "VAL.all(x, x)",
        "VAL.exists(x, x > 2)",
        "VAL.map(x, x.y)",
        "[VAL].map(x, x + 1)",
        "VAL >= 1",
        "{VAL: 1}",
        "VAL.contains(1)",
        "VAL.startsWith(VAL)",
        "VAL.orValue(1)",
        "VAL || true && VAL",
        "size(VAL + VAL)",
        "bytes(VAL)",
        "VAL.matches('a')",
    ] {
        for path in ["request.body.a", "request.body.m", "request.body.l"] {
            let source = operation.replace("VAL", path);
            if let Err(error) = eval_on(&source, &request) {
                assert!(!error.to_string().contains("s3cret"), "{source}: {error}");
                assert!(!matches!(error, EvalError::Internal(_)), "{source}: {error}");
            }
        }
    }
}

#[test]
fn an_unknown_name_is_refused_where_it_stands_with_the_nearest_one() {
    for (source, message, offset, help) in [
        ("reqest.body", "there is no `reqest` here", 0, Some("did you mean `request`?")),
        ("1 + respnse.a", "there is no `respnse` here", 4, Some("did you mean `response`?")),
        ("'ü' + nothing", "there is no `nothing` here", 7, Some("there is request, claims, key, response, self, steps")),
        (
            "steps.create-order.id",
            "there is no `order` here",
            13,
            Some("`-` subtracts; write ['create-order'] for a name with a dash"),
        ),
        ("claims.map(c, d)", "there is no `d` here", 14, Some("there is request, claims, key, response, self, steps, c")),
        ("siez(key)", "there is no function `siez`", 0, Some("did you mean `size`?")),
        ("key.startWith('a')", "there is no method `startWith`", 4, Some("did you mean `startsWith`?")),
        ("size(key, 1)", "the function `size` takes 1 argument, not 2", 0, None),
        ("'ü' + string (key, 1)", "the function `string` takes 1 argument, not 2", 7, None),
        ("key.substring()", "the method `substring` takes 1 or 2 arguments, not 0", 4, None),
        ("math.least()", "the function `math.least` takes 1 or 2 or 3 or 4 arguments, not 0", 5, None),
        ("math.lest(1)", "there is no function `math.lest`", 5, Some("did you mean `least`?")),
        ("lowerAscii(key)", "there is no function `lowerAscii`", 0, Some("`lowerAscii` is a method: write value.lowerAscii(…)")),
        ("key.json()", "there is no method `json`", 4, Some("`json` is a function: write json(value)")),
        ("key.all(x)", "there is no method `all`", 4, Some("it is written list.all(item, condition)")),
        ("key.matches(key)", "the pattern of `matches` has to be a literal string", 12, None),
        ("now()", "there is no function `now`", 0, None),
    ] {
        let error = compile(source).unwrap_err();
        assert_eq!(error.message, message, "{source}");
        assert_eq!(error.offset_bytes, Some(offset), "{source}");
        if let Some(help) = help {
            assert_eq!(error.help.as_deref(), Some(help), "{source}");
        }
    }
}

#[test]
fn a_syntax_error_says_where_and_what() {
    for (source, message, offset) in [
        ("1 +", "the expression ends too early", Some(3)),
        ("a b", "`b` is unexpected here", Some(2)),
        ("'ü' + )", "`)` is unexpected here", Some(7)),
        ("1 +\n + 2", "`+` is unexpected here", Some(5)),
        ("'open", "this string is never closed", Some(0)),
        ("", "the expression is empty", None),
        ("  // only a comment", "the expression ends too early", Some(19)),
        ("key # 1", "`#` is unexpected here", Some(4)),
    ] {
        let error = compile(source).unwrap_err();
        assert_eq!((error.message.as_str(), error.offset_bytes), (message, offset), "{source}");
    }
    for source in [".request.body", "Foo{a: 1}", "99999999999999999999", "key.matches('(')", "has(key)", "[1].map(1, 2)"] {
        assert!(compile(source).is_err(), "{source}");
    }
}
