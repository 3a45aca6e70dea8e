//! Opens sockets of every kind and resolves names by WASI 0.2.
use std::io::{Error, Read, Write};
use std::net::{SocketAddr, TcpStream};

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export tcp: func(address: string) -> result<string, string>;
    export lookup: func(name: string) -> result<list<string>, string>;
    /// Connects, sends, and reads until the other side ends.
    export talk: func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram.
    export udp: func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram from a socket that is connected to where it goes.
    export tell: func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram and waits for one, from whomever.
    export ask: func(address: string, text: string) -> result<string, string>;
    /// Connects so many times at once.
    export many: func(address: string, times: u32) -> result<string, string>;
    /// Connects to an address after looking up a name.
    export roundabout: func(name: string, address: string) -> result<string, string>;
    // Not `listen` and `bind`: an export of that name would take the place of libc's.
    export listen-at: func(address: string) -> result<string, string>;
    export bind-at: func(address: string) -> result<string, string>;
}" });

struct Connecting;

fn told(error: Error) -> String {
    format!("{:?}", error.kind())
}

fn coded(error: ErrorCode) -> String {
    error.name().to_owned()
}

fn address_of(text: &str) -> Result<IpSocketAddress, String> {
    Ok(match text.parse().map_err(|_| "no address".to_owned())? {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port: v6.port(), flow_info: 0, address, scope_id: 0 })
        }
    })
}

fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn bound(local: IpSocketAddress) -> Result<UdpSocket, String> {
    let socket = create_udp_socket(family(&local)).map_err(coded)?;
    socket.start_bind(&instance_network(), local).map_err(coded)?;
    socket.finish_bind().map_err(coded)?;
    Ok(socket)
}

/// A bound socket, as toolchains bind it before they send.
fn unspecified(remote: &IpSocketAddress) -> Result<UdpSocket, String> {
    bound(address_of(match family(remote) {
        IpAddressFamily::Ipv4 => "0.0.0.0:0",
        IpAddressFamily::Ipv6 => "[::]:0",
    })?)
}

impl Guest for Connecting {
    fn tcp(address: String) -> Result<String, String> {
        TcpStream::connect(address).map(|_| "connected".to_owned()).map_err(told)
    }

    fn lookup(name: String) -> Result<Vec<String>, String> {
        let answers = resolve_addresses(&instance_network(), &name).map_err(coded)?;
        let mut found = Vec::new();
        loop {
            match answers.resolve_next_address() {
                Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(format!("{a}.{b}.{c}.{d}")),
                Ok(Some(IpAddress::Ipv6(address))) => found.push(format!("{address:?}")),
                Ok(None) => return Ok(found),
                Err(ErrorCode::WouldBlock) => answers.subscribe().block(),
                Err(error) => return Err(coded(error)),
            }
        }
    }

    fn talk(address: String, text: String) -> Result<String, String> {
        let mut stream = TcpStream::connect(address).map_err(told)?;
        stream.write_all(text.as_bytes()).map_err(told)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(told)?;
        Ok(answer)
    }

    fn udp(address: String, text: String) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = unspecified(&remote)?;
        let (_incoming, outgoing) = socket.stream(None).map_err(coded)?;
        outgoing.check_send().map_err(coded)?;
        let datagram = OutgoingDatagram { data: text.into_bytes(), remote_address: Some(remote) };
        outgoing.send(&[datagram]).map(|count| format!("sent {count}")).map_err(coded)
    }

    fn tell(address: String, text: String) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = unspecified(&remote)?;
        let (_incoming, outgoing) = socket.stream(Some(remote)).map_err(coded)?;
        outgoing.check_send().map_err(coded)?;
        let datagram = OutgoingDatagram { data: text.into_bytes(), remote_address: None };
        outgoing.send(&[datagram]).map(|count| format!("sent {count}")).map_err(coded)
    }

    fn ask(address: String, text: String) -> Result<String, String> {
        // By the standard library.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(told)?;
        socket.send_to(text.as_bytes(), address).map_err(told)?;
        let mut answer = [0; 2048];
        let (count, _) = socket.recv_from(&mut answer).map_err(told)?;
        Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
    }

    fn many(address: String, times: u32) -> Result<String, String> {
        let address: SocketAddr = address.parse().map_err(|_| "no address".to_owned())?;
        let open: Result<Vec<_>, _> = (0..times).map(|_| TcpStream::connect(address)).collect();
        open.map(|open| open.len().to_string()).map_err(told)
    }

    fn roundabout(name: String, address: String) -> Result<String, String> {
        Self::lookup(name)?;
        Self::tcp(address)
    }

    fn listen_at(address: String) -> Result<String, String> {
        let local = address_of(&address)?;
        let socket = create_tcp_socket(family(&local)).map_err(coded)?;
        let bound = socket.start_bind(&instance_network(), local).and_then(|()| socket.finish_bind());
        let listening = socket.start_listen();
        if listening.is_err() && socket.finish_listen().is_err() && socket.accept().is_err() {
            let why = bound.and(listening).map_err(coded).err().unwrap_or_default();
            return Err(format!("{why}, listening: {}", socket.is_listening()));
        }
        Ok("listening".to_owned())
    }

    fn bind_at(address: String) -> Result<String, String> {
        bound(address_of(&address)?).map(|_| "bound".to_owned())
    }
}

export!(Connecting);
