//! Opens a socket, or looks up a name.
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export tcp: func(address: string) -> result<string, string>;
    export udp: func(address: string) -> result<string, string>;
    export lookup: func(name: string) -> result<string, string>;
}" });

struct Connecting;

impl Guest for Connecting {
    fn tcp(address: String) -> Result<String, String> {
        TcpStream::connect(address).map(|_| "connected".to_owned()).map_err(|error| error.kind().to_string())
    }

    fn udp(address: String) -> Result<String, String> {
        let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.kind().to_string())?;
        socket.send_to(b"x", address).map(|_| "sent".to_owned()).map_err(|error| error.kind().to_string())
    }

    fn lookup(name: String) -> Result<String, String> {
        (name.as_str(), 80).to_socket_addrs().map(|_| "found".to_owned()).map_err(|error| error.kind().to_string())
    }
}

export!(Connecting);
