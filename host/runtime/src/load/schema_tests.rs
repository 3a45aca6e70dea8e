//! Accepted and refused schemas.

use super::*;

fn refused(schema: &str) -> String {
    match read(schema) {
        Ok(_) => panic!("it is read: {schema}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn references_that_readers_take_for_different_places_are_refused() {
    for schema in [
        r##"{"type":"object","$defs":{"a b":{},"a%20b":{}},"properties":{"x":{"$ref":"#/$defs/a%20b"}}}"##,
        r##"{"$schema":"https://json-schema.org/draft/2019-09/schema","type":"object","$defs":{"y":{}},"properties":{"x":{"$recursiveRef":"#/$defs/y"}}}"##,
        r##"{"type":"object","$defs":{"a":{"$anchor":"n"},"b":{"$anchor":"n"}},"properties":{"x":{"$ref":"#n"}}}"##,
    ] {
        refused(schema);
    }
}

#[test]
fn what_is_no_json_schema_is_refused() {
    for schema in [
        r#"{"type":"object","properties":5}"#,
        r#"{"type":"object","properties":{"a":5}}"#,
        r#"{"type":"object","properties":{"a":{"type":"texts"}}}"#,
        r#"{"type":"object","required":"a"}"#,
        r#"{"type":"object","required":["a","a"]}"#,
        r#"{"type":"object","$defs":{"never":{"minLength":"x"}}}"#,
        r#"{"type":"object","additionalProperties":"no"}"#,
        r#"{"type":"object","items":[{}]}"#,
        r#"{"type":"object","allOf":[]}"#,
        r#"{"type":"object","maxProperties":-1}"#,
    ] {
        assert!(refused(schema).starts_with("it is not a JSON Schema: "), "{schema}: {}", refused(schema));
    }
    for schema in ["", "[]", "5", "{}", r#"{"type":"string"}"#, r#"{"type":["object"]}"#] {
        refused(schema);
    }
}

#[test]
fn what_leads_out_of_it_is_refused_wherever_it_stands() {
    for target in [
        "https://example.com/a",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "//example.com/a",
        "/a",
        "a.json",
        "",
    ] {
        for key in REFERENCES {
            for schema in [
                format!(r#"{{"type":"object","{key}":"{target}"}}"#),
                format!(r#"{{"type":"object","properties":{{"a":{{"items":{{"{key}":"{target}"}}}}}}}}"#),
                format!(r#"{{"type":"object","$defs":{{"never":{{"{key}":"{target}"}}}}}}"#),
                format!(r#"{{"type":"object","x-more":[{{"{key}":"{target}"}}]}}"#),
                format!(r#"{{"type":"object","default":{{"{key}":"{target}"}}}}"#),
            ] {
                assert!(refused(&schema).contains("outside of it"), "{schema}");
            }
        }
    }
    for schema in [
        r#"{"type":"object","$id":"https://example.com/a"}"#,
        r#"{"type":"object","$id":"file:///a"}"#,
        r#"{"type":"object","$defs":{"a":{"$id":"urn:a"}}}"#,
        r#"{"type":"object","$schema":"https://example.com/dialect"}"#,
        r#"{"type":"object","$schema":"http://json-schema.org/draft-04/schema#"}"#,
        r#"{"type":"object","$schema":5}"#,
        r#"{"type":"object","properties":{"a":{"$schema":"http://json-schema.org/draft-07/schema#"}}}"#,
    ] {
        refused(schema);
    }
}

#[test]
fn references_lead_to_schemas_and_not_in_circles() {
    for schema in [
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}}}"##,
        r##"{"type":"object","default":{"a":5},"properties":{"a":{"$ref":"#/default"}}}"##,
        r##"{"type":"object","properties":{"a":{"$ref":"#nowhere"}}}"##,
        r##"{"type":"object","$ref":"#"}"##,
        r##"{"type":"object","allOf":[{"anyOf":[{"$ref":"#"}]}]}"##,
        r##"{"type":"object","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"not":{"$ref":"#/$defs/a"}}}}"##,
    ] {
        assert!(refused(schema).contains("$ref"), "{schema}: {}", refused(schema));
    }
    let twice = |n: usize| {
        format!(r##""a{n}":{{"allOf":[{{"$ref":"#/$defs/a{m}"}},{{"$ref":"#/$defs/a{m}"}}]}}"##, m = n + 1)
    };
    let many: Vec<String> = (0..20).map(twice).collect();
    let many = format!(r#"{{"type":"object","$defs":{{{},"a20":{{}}}}}}"#, many.join(","));
    assert!(refused(&many).contains("for one value"));
}

#[test]
fn patterns_that_take_for_ever_are_refused_wherever_a_schema_stands() {
    for schema in [
        r#"{"type":"object","properties":{"a":{"pattern":"^(a+)+$"}}}"#,
        r#"{"type":"object","patternProperties":{"^(a+)+$":{}}}"#,
        r#"{"type":"object","propertyNames":{"pattern":"(?=a)"}}"#,
        r#"{"type":"object","$defs":{"never":{"items":{"pattern":"^(a+)+$"}}}}"#,
        r#"{"type":"object","properties":{"default":{"pattern":"^(a+)+$"}}}"#,
    ] {
        assert!(refused(schema).contains("a pattern that"), "{schema}: {}", refused(schema));
    }
}

#[test]
fn schemas_that_people_write_are_read() {
    for schema in [
        r#"{"type":"object"}"#,
        r#"{"type":"object","$schema":"https://json-schema.org/draft/2020-12/schema","$id":"urn:example:a"}"#,
        r##"{"type":"object","$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{"items":[{},true]}},
            "properties":{"a":{"$ref":"#/definitions/a"}}}"##,
        r##"{"type":"object","properties":{"$ref":{"type":"string"},"$id":{},"pattern":{"type":"string"},"properties":{}},
            "examples":[{"pattern":"(a+)+"}],"default":{"pattern":"(?=a)"}}"##,
        r##"{"type":"object","$defs":{"tree":{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#/$defs/tree"}}}}},
            "properties":{"tree":{"$ref":"#/$defs/tree"},"self":{"$ref":"#"}}}"##,
        r##"{"type":"object","properties":{"a":{"$anchor":"a"},"b":{"$ref":"#a"}},"unevaluatedProperties":false}"##,
        r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^[a-z]+$","format":"date-time"}},"x-more":5}"#,
    ] {
        assert!(read(schema).is_ok(), "{}", refused(schema));
    }
}
