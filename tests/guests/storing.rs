//! Opens a bucket of a store.
wit_bindgen::generate!({
    inline: "package test:guest; world guest {
        import wasi:keyvalue/store@0.2.0-draft;
        export open: func(name: string) -> result<string, string>;
    }",
    path: "../../wit/deps/keyvalue",
    generate_all,
});

struct Storing;

impl Guest for Storing {
    fn open(name: String) -> Result<String, String> {
        wasi::keyvalue::store::open(&name).map(|_| "opened".to_owned()).map_err(|error| format!("{error:?}"))
    }
}

export!(Storing);
