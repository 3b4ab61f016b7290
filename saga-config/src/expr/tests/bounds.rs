use super::*;

#[test]
fn the_sources_that_broke_the_parser_are_refused_with_the_limit_they_exceed() {
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(200), close.repeat(200));
    let mut loops = "1".to_owned();
    for _ in 0..3 {
        loops = format!("[1].map(x, {loops})");
    }
    for (source, message) in [
        (vec!["1"; 2000].join("+"), "the expression is 3999 bytes long; the limit is 1024"),
        (vec!["1"; 400].join("+"), "the expression has 257 operators; the limit is 256"),
        (vec!["1"; 90].join("+"), "the expression nests 90 operations; the limit is 48"),
        (vec!["true"; 120].join("&&"), ""),
        (format!("key{}", ".a".repeat(120)), "the expression nests 121 operations; the limit is 48"),
        (nested("(", ")"), "the expression has 25 brackets inside each other; the limit is 24"),
        (nested("[", "]"), "the expression has 25 brackets inside each other; the limit is 24"),
        (nested("{1:", "}"), "the expression has 25 brackets inside each other; the limit is 24"),
        (nested("!", ""), "the expression has 5 `!` or `-` in a row; the limit is 4"),
        (nested("-", ""), "the expression has 5 `!` or `-` in a row; the limit is 4"),
        (nested("- ", ""), "the expression has 5 `!` or `-` in a row; the limit is 4"),
        (nested("1?1:", ""), "the expression has 25 conditionals; the limit is 24"),
        (nested("size(", ")"), "the expression is 1201 bytes long; the limit is 1024"),
        (nested("a[", "]"), "the expression has 25 brackets inside each other; the limit is 24"),
        (loops, "loops nest 3 deep; the limit is 2"),
    ] {
        match compile(&source) {
            Err(error) => assert_eq!(error.message, message, "{source}"),
            Ok(_) => assert_eq!(message, "", "{source}"),
        }
    }
}

#[test]
fn the_largest_sources_that_are_let_through_parse_and_evaluate_on_a_small_stack() {
    let nest = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    let sources = [
        vec!["1"; 48].join("+"),
        vec!["true"; 170].join("&&"),
        nest("(", ")", limits::BRACKET_DEPTH),
        nest("[", "]", limits::BRACKET_DEPTH),
        nest("size([", "])", limits::BRACKET_DEPTH / 2),
        nest("!!!(", ")", 10).replace('1', "true"),
        nest("-(", ")", 20),
        format!("{}1", "true ? 1 : ".repeat(limits::CONDITIONALS)),
        "[[1]].map(x, x.map(y, y + 1))".to_owned(),
    ];
    let run = move || {
        for source in sources {
            if let Err(error) = eval_on(&source, &Value::Null) {
                panic!("{source}: {error}");
            }
        }
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn loops_and_inputs_are_bounded() {
    let numbers = |count: usize| json!({"body": (0..count).collect::<Vec<_>>()});
    assert!(eval_on("request.body.all(x, x >= 0)", &numbers(1000)).is_ok());
    for (source, request, message) in [
        ("request.body.all(x, x >= 0)", numbers(1001), "a loop goes over 1001 items; the limit is 1000"),
        (
            "request.body.map(x, request.body.map(y, y))",
            numbers(300),
            "the number of items that loops go over exceeds the limit of 50000",
        ),
        ("request.body == ''", numbers(16_000), "the JSON that the expression reads exceeds the limit of 262144"),
        (
            "request.body + request.body",
            json!({"body": "a".repeat(300_000)}),
            "the JSON that the expression reads exceeds the limit of 262144",
        ),
        (
            "[1, 2, 3, 4, 5].map(x, request.body)",
            json!({"body": "a".repeat(250_000)}),
            "the size of the result exceeds the limit of 1048576",
        ),
        (
            "size(request.a.map(x, request.body + request.body))",
            json!({"a": (0..100).collect::<Vec<_>>(), "body": "a".repeat(200_000)}),
            "the bytes that the expression reads and copies exceeds the limit of 16777216",
        ),
        (
            "[request.body].map(b, request.a.map(x, size(b + b)))",
            json!({"a": (0..100).collect::<Vec<_>>(), "body": "a".repeat(200_000)}),
            "the bytes that the expression reads and copies exceeds the limit of 16777216",
        ),
        (
            "size(request.a.map(x, request.body))",
            json!({"a": (0..100).collect::<Vec<_>>(), "body": "a".repeat(200_000)}),
            "the bytes that the expression reads and copies exceeds the limit of 16777216",
        ),
    ] {
        assert_eq!(eval_on(source, &request), Err(EvalError::Limit(message.to_owned())), "{source}");
    }
}

#[test]
fn only_what_is_read_counts() {
    let request = json!({"body": {"a": 1, "rest": "x".repeat(10_000_000)}});
    assert_eq!(eval_on("request.body.a + 1", &request), Ok(json!(2)));
    assert_eq!(eval_on("size(request.body.rest)", &request), Ok(json!(10_000_000)));
    assert_eq!(eval_on("has(request.body.rest)", &request), Ok(json!(true)));
}
