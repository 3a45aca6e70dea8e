//! Reads configuration values.
wit_bindgen::generate!({
    inline: "package test:guest; world guest {
        import wasi:config/store@0.2.0-rc.1;
        export get: func(key: string) -> option<string>;
        export all: func() -> list<tuple<string, string>>;
    }",
    path: "../../wit/deps/config",
    generate_all,
});

struct Configured;

impl Guest for Configured {
    fn get(key: String) -> Option<String> {
        wasi::config::store::get(&key).ok().flatten()
    }

    fn all() -> Vec<(String, String)> {
        let mut all = wasi::config::store::get_all().unwrap_or_default();
        all.sort();
        all
    }
}

export!(Configured);
