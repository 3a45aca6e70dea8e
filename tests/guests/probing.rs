//! Reports everything that it can see of its surroundings.
wit_bindgen::generate!({ inline: "package test:guest; world guest {
    record surroundings { variables: list<tuple<string, string>>, arguments: list<string>, folder: option<string>, folders: list<string> }
    export run: func() -> surroundings;
}" });

struct Probing;

impl Guest for Probing {
    fn run() -> Surroundings {
        Surroundings {
            variables: wasip2::cli::environment::get_environment(),
            arguments: wasip2::cli::environment::get_arguments(),
            folder: wasip2::cli::environment::initial_cwd(),
            folders: wasip2::filesystem::preopens::get_directories().into_iter().map(|(_, name)| name).collect(),
        }
    }
}

export!(Probing);
