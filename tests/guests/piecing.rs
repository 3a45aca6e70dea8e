//! Answers with valid and invalid content blocks of every kind, reports progress, and checks for cancellation.
use toolgate_guest::content::{Block, Link};
use toolgate_guest::{
    Level, Role, annotated, audio, image, is_cancelled, link, log, progress, resource, text,
};

wit_bindgen::generate!({
    inline: "
        package test:guest;
        world guest {
            use toolgate:plugin/content@0.1.0.{answer};
            export pieces: func() -> answer;
            export badly: func(how: string) -> result<answer, string>;
            export report: func(steps: list<f64>) -> string;
            export until-cancelled: func() -> string;
            export say: func(text: string);
        }",
    path: "../../wit/toolgate-plugin",
    with: { "toolgate:plugin/content@0.1.0": toolgate_guest::content },
});

struct Piecing;

fn typed(block: Block, mime_type: &str) -> Block {
    match block {
        Block::Link(link) => Block::Link(Link { mime_type: Some(mime_type.to_owned()), ..link }),
        other => other,
    }
}

impl Guest for Piecing {
    fn pieces() -> Answer {
        Answer {
            content: vec![
                annotated(text("words"), &[Role::User], Some(0.5)),
                image("image/png", vec![1, 2, 3]),
                audio("audio/wav", vec![4, 5]),
                link("https://example.com/x", "x"),
                resource("test:y", Some("text/plain"), "why"),
            ],
            structured: Some(r#"{"pieces":5}"#.to_owned()),
        }
    }

    fn badly(how: String) -> Result<Answer, String> {
        Ok(match how.as_str() {
            "uri" => link("no address", "x").into(),
            "hidden" => link("https://example.com/\u{202e}", "x").into(),
            "mime" => image("picture", vec![]).into(),
            "priority" => annotated(text("x"), &[], Some(2.0)).into(),
            "structured" => Answer { content: vec![], structured: Some("[1]".to_owned()) },
            "twice" => Answer { content: vec![], structured: Some(r#"{"a":1,"a":2}"#.to_owned()) },
            "large" => text("x".repeat(2 << 20)).into(),
            other => match other.split_once(' ') {
                Some(("link", uri)) => link(uri, "x").into(),
                Some(("embedded", uri)) => resource(uri, None, "x").into(),
                Some(("image", mime)) => image(mime, vec![]).into(),
                Some(("audio", mime)) => audio(mime, vec![]).into(),
                Some(("body", mime)) => resource("test:y", Some(mime), "x").into(),
                Some(("to", mime)) => typed(link("https://example.com/x", "x"), mime).into(),
                _ => return Err("no such way".to_owned()),
            },
        })
    }

    fn report(steps: Vec<f64>) -> String {
        for step in &steps {
            progress(*step, Some(10.0), Some("step"));
        }
        format!("{} steps", steps.len())
    }

    fn until_cancelled() -> String {
        while !is_cancelled() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        log(Level::Warning, "it was cancelled\nforged: a second line");
        "cancelled".to_owned()
    }

    fn say(text: String) {
        log(Level::Notice, &text);
    }
}

export!(Piecing);
