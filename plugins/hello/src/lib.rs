//! Pure computation: it imports nothing from the host, so it needs no grant.

use std::collections::BTreeMap;

wit_bindgen::generate!({ world: "hello" });

struct Hello;

impl Guest for Hello {
    fn greet(name: String, style: Option<Style>) -> String {
        match style.unwrap_or(Style::Plain) {
            Style::Plain => format!("Hello, {name}."),
            Style::Formal => format!("Good day to you, {name}."),
            Style::Excited => format!("Hello, {name}!"),
        }
    }

    fn add(a: i64, b: i64) -> Result<i64, String> {
        a.checked_add(b).ok_or_else(|| format!("{a} + {b} does not fit into 64 bits"))
    }

    fn summarize(numbers: Vec<f64>) -> Summary {
        let sum: f64 = numbers.iter().sum();
        Summary {
            count: numbers.len() as u32,
            sum,
            mean: (!numbers.is_empty()).then(|| sum / numbers.len() as f64),
            largest: numbers.iter().copied().reduce(f64::max),
        }
    }

    fn area(figure: Figure) -> Result<f64, String> {
        let positive = |length: f64| if length >= 0.0 { Ok(length) } else { Err(format!("{length} is no length")) };
        match figure {
            Figure::Circle(radius) => Ok(std::f64::consts::PI * positive(radius)?.powi(2)),
            Figure::Rectangle((width, height)) => Ok(positive(width)? * positive(height)?),
            Figure::Point => Ok(0.0),
        }
    }

    fn count_letters(text: String, kinds: Letters) -> Vec<(char, u32)> {
        let wanted = |c: &char| {
            let kind = match c.to_ascii_lowercase() {
                'a' | 'e' | 'i' | 'o' | 'u' => Letters::VOWELS,
                '0'..='9' => Letters::DIGITS,
                c if c.is_alphabetic() => Letters::CONSONANTS,
                _ => Letters::empty(),
            };
            !kind.is_empty() && kinds.contains(kind)
        };
        let mut counts = BTreeMap::new();
        for c in text.chars().filter(wanted) {
            *counts.entry(c).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }
}

export!(Hello);
