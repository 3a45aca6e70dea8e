//! A plugin whose function answers with content blocks, reports progress, and stops when its call is cancelled.
#![allow(missing_docs, reason = "an example")]

use toolgate_guest::{Level, Role, annotated, image, is_cancelled, link, log, progress, resource, text};

wit_bindgen::generate!({
    inline: "
        package acme:weather;
        world weather {
            use toolgate:plugin/content@0.1.0.{answer};
            /// Draws the weather of the next days.
            export chart: func(city: string, days: u32) -> result<answer, string>;
        }",
    path: "../wit/toolgate-plugin",
    with: { "toolgate:plugin/content@0.1.0": toolgate_guest::content },
});

struct Weather;

impl Guest for Weather {
    fn chart(city: String, days: u32) -> Result<Answer, String> {
        if days == 0 {
            return Err("ask for at least one day".to_owned());
        }
        log(Level::Info, &format!("drawing {days} days"));
        for day in 1..=days {
            if is_cancelled() {
                return Err("nobody waits".to_owned());
            }
            progress(f64::from(day), Some(f64::from(days)), Some("drawing"));
        }
        Ok(Answer {
            content: vec![
                annotated(text(format!("The weather in {city}.")), &[Role::User, Role::Assistant], Some(1.0)),
                image("image/png", vec![1, 2, 3]),
                link("https://example.com/weather", "Where it comes from"),
                resource("weather:raw", Some("text/csv"), "day,high\n1,20\n"),
            ],
            structured: Some(format!(r#"{{"days":{days}}}"#)),
        })
    }
}

export!(Weather);
