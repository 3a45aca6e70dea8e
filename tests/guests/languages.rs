//! The interface that every language implements, in Rust. The others are compared with this one.
wit_bindgen::generate!({ path: "../languages/wit", world: "languages" });

use exports::toolgate_tests::languages::same::{Colour, Family, Figure, Guest, Person, Rights};

struct Same;

impl Guest for Same {
    fn greet(person: Person) -> String {
        match person.age {
            None => format!("Grüß dich, {}.", person.name),
            Some(age) => format!("Grüß dich, {} ({age}).", person.name),
        }
    }
    fn backwards(text: String) -> String {
        text.chars().rev().collect()
    }
    fn first(text: String) -> Option<char> {
        text.chars().next()
    }
    fn letter(letter: char) -> char {
        letter
    }
    fn next(colour: Colour) -> Colour {
        match colour {
            Colour::Red => Colour::Green,
            Colour::Green => Colour::Blue,
            Colour::Blue => Colour::Red,
        }
    }
    fn others(rights: Rights) -> Rights {
        !rights
    }
    fn sum(numbers: Vec<i64>) -> i64 {
        numbers.iter().sum()
    }
    fn wide(unsigned: u64, signed: i64) -> (u64, i64) {
        (unsigned, signed)
    }
    fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reverse();
        bytes
    }
    fn swap(pair: (i32, String)) -> (String, i32) {
        (pair.1, pair.0)
    }
    fn area(figure: Figure) -> Result<f64, String> {
        match figure {
            Figure::Point => Ok(0.0),
            Figure::Circle(radius) if radius < 0.0 => Err("a radius is not negative – ever".to_owned()),
            Figure::Circle(radius) => Ok(3.0 * radius * radius),
            Figure::Polygon(corners) => Ok(corners.len() as f64),
        }
    }
    fn half(number: Option<f64>) -> Option<f64> {
        number.map(|number| number / 2.0)
    }
    fn later(mut families: Vec<Family>) -> Vec<Family> {
        for family in &mut families {
            family.members.reverse();
            for member in &mut family.members {
                member.age = member.age.map(|age| age + 1);
            }
        }
        families
    }
    fn verdict(outcome: Result<u32, String>) -> (Result<String, u32>, bool) {
        match outcome {
            Ok(number) => (Err(number), true),
            Err(text) => (Ok(text), false),
        }
    }
    fn nothing() {}
}

export!(Same);
