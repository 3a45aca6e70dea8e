//! Opens sockets of every kind and resolves names by WASI 0.3.
use std::net::{IpAddr, SocketAddr};

use toolgate_test_guests::{Waiting, all};
use wasip3::sockets::ip_name_lookup::{self, resolve_addresses};
use wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
    UdpSocket,
};
use wasip3::wit_stream;

wit_bindgen::generate!({ inline: "package test:guest; world guest {
    export tcp: async func(address: string) -> result<string, string>;
    export lookup: async func(name: string) -> result<list<string>, string>;
    /// Connects, sends, and reads until the other side ends.
    export talk: async func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram.
    export udp: async func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram from a socket that is connected to where it goes.
    export tell: async func(address: string, text: string) -> result<string, string>;
    /// Sends a datagram and waits for one, from whomever.
    export ask: async func(address: string, text: string) -> result<string, string>;
    /// Connects so many times at once.
    export many: async func(address: string, times: u32) -> result<string, string>;
    /// Connects to an address after looking up a name.
    export roundabout: async func(name: string, address: string) -> result<string, string>;
    export listen-at: async func(address: string) -> result<string, string>;
    export bind-at: async func(address: string) -> result<string, string>;
    /// Connects and sends back what comes, without looking at it.
    export reflect: async func(address: string) -> result<string, string>;
    /// Connects, reads so many bytes, and lets go of what comes; says how that ended.
    export part: async func(address: string, bytes: u32) -> result<string, string>;
    /// Waits so many times at once for a datagram, after sending one.
    export ask-often: async func(address: string, times: u32) -> result<string, string>;
    /// Does everything in the wrong order, and says what became of it.
    export misuse: async func(address: string, beside: string) -> list<string>;
    /// Sets every option and reads it.
    export options: async func(address: string) -> result<list<u64>, string>;
}" });

struct Dialing;

fn coded(error: ErrorCode) -> String {
    match error {
        ErrorCode::AccessDenied => "access-denied".to_owned(),
        other => format!("{other:?}"),
    }
}

fn address_of(text: &str) -> Result<IpSocketAddress, String> {
    let address: SocketAddr = text.parse().map_err(|_| format!("no address: {text}"))?;
    Ok(socket_address(address.ip(), address.port()))
}

fn socket_address(ip: IpAddr, port: u16) -> IpSocketAddress {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

async fn found(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = resolve_addresses(name.to_owned()).await.map_err(|error| match error {
        ip_name_lookup::ErrorCode::AccessDenied => "access-denied".to_owned(),
        other => format!("{other:?}"),
    })?;
    Ok(found
        .into_iter()
        .map(|address| match address {
            IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
            IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
        })
        .collect())
}

/// Connects to an address, or to the first reachable address of a name with a port.
async fn connected(to: &str) -> Result<TcpSocket, String> {
    let places = match address_of(to) {
        Ok(address) => vec![address],
        Err(_) => {
            let (name, port) = to.rsplit_once(':').ok_or("no port")?;
            let port = port.parse().map_err(|_| "no port")?;
            found(name).await?.into_iter().map(|ip| socket_address(ip, port)).collect()
        }
    };
    let mut why = "nowhere".to_owned();
    for place in places {
        let socket = TcpSocket::create(family(&place)).map_err(coded)?;
        match socket.connect(place).await {
            Ok(()) => return Ok(socket),
            Err(error) => why = coded(error),
        }
    }
    Err(why)
}

/// A bound socket, as toolchains bind it before they send.
fn unspecified(remote: &IpSocketAddress) -> Result<UdpSocket, String> {
    let socket = UdpSocket::create(family(remote)).map_err(coded)?;
    let local = match family(remote) {
        IpAddressFamily::Ipv4 => "0.0.0.0:0",
        IpAddressFamily::Ipv6 => "[::]:0",
    };
    socket.bind(address_of(local)?).map_err(coded)?;
    Ok(socket)
}

impl Guest for Dialing {
    async fn tcp(address: String) -> Result<String, String> {
        connected(&address).await.map(|_| "connected".to_owned())
    }

    async fn lookup(name: String) -> Result<Vec<String>, String> {
        Ok(found(&name).await?.iter().map(ToString::to_string).collect())
    }

    async fn talk(address: String, text: String) -> Result<String, String> {
        let socket = connected(&address).await?;
        let (mut writer, reader) = wit_stream::new();
        let sent = socket.send(reader);
        let (answer, ended) = socket.receive();
        let rest = writer.write_all(text.into_bytes()).await;
        drop(writer);
        sent.await.map_err(coded)?;
        if !rest.is_empty() {
            return Err(format!("{} bytes were not sent", rest.len()));
        }
        let answer = answer.collect().await;
        ended.await.map_err(coded)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn udp(address: String, text: String) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = UdpSocket::create(family(&remote)).map_err(coded)?;
        socket.send(text.into_bytes(), Some(remote)).await.map(|()| "sent".to_owned()).map_err(coded)
    }

    async fn tell(address: String, text: String) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = unspecified(&remote)?;
        socket.connect(remote).map_err(coded)?;
        socket.send(text.into_bytes(), None).await.map(|()| "sent".to_owned()).map_err(coded)
    }

    async fn ask(address: String, text: String) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = unspecified(&remote)?;
        socket.send(text.into_bytes(), Some(remote)).await.map_err(coded)?;
        let (answer, _) = socket.receive().await.map_err(coded)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn many(address: String, times: u32) -> Result<String, String> {
        let begin = |_| -> Waiting<_> {
            let address = address.clone();
            Box::pin(async move { connected(&address).await })
        };
        let open: Result<Vec<_>, _> = all((0..times).map(begin).collect(), || ()).await.into_iter().collect();
        open.map(|open| open.len().to_string())
    }

    async fn roundabout(name: String, address: String) -> Result<String, String> {
        found(&name).await?;
        Self::tcp(address).await
    }

    async fn listen_at(address: String) -> Result<String, String> {
        let local = address_of(&address)?;
        let socket = TcpSocket::create(family(&local)).map_err(coded)?;
        let bound = socket.bind(local).map_err(coded);
        match socket.listen().map_err(coded) {
            Err(why) => Err(format!("{}, listening: {}", bound.err().unwrap_or(why), socket.get_is_listening())),
            Ok(_) => Ok("listening".to_owned()),
        }
    }

    async fn bind_at(address: String) -> Result<String, String> {
        let local = address_of(&address)?;
        let socket = UdpSocket::create(family(&local)).map_err(coded)?;
        socket.bind(local).map(|()| "bound".to_owned()).map_err(coded)
    }

    async fn reflect(address: String) -> Result<String, String> {
        let socket = connected(&address).await?;
        let (comes, ended) = socket.receive();
        let sent = socket.send(comes);
        sent.await.and(ended.await).map(|()| "done".to_owned()).map_err(coded)
    }

    async fn part(address: String, bytes: u32) -> Result<String, String> {
        let socket = connected(&address).await?;
        let (mut comes, ended) = socket.receive();
        let mut heard = Vec::new();
        while heard.len() < bytes as usize {
            let (_, came) = comes.read(Vec::with_capacity(bytes as usize - heard.len())).await;
            if came.is_empty() {
                return Err("it ended".to_owned());
            }
            heard.extend(came);
        }
        drop(comes);
        ended.await.map_err(coded)?;
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }

    async fn ask_often(address: String, times: u32) -> Result<String, String> {
        let remote = address_of(&address)?;
        let socket = std::rc::Rc::new(unspecified(&remote)?);
        socket.send(b"hello".to_vec(), Some(remote)).await.map_err(coded)?;
        let begin = |_| -> Waiting<_> {
            let socket = socket.clone();
            Box::pin(async move { socket.receive().await })
        };
        let came = all((0..times).map(begin).collect(), || ()).await;
        Ok(came.iter().filter(|came| came.is_ok()).count().to_string())
    }

    async fn misuse(address: String, beside: String) -> Vec<String> {
        let (Ok(to), Ok(beside)) = (address_of(&address), address_of(&beside)) else { return Vec::new() };
        let mut told = Vec::new();
        let Ok(socket) = TcpSocket::create(IpAddressFamily::Ipv4) else { return told };
        let sent = |socket: &TcpSocket| socket.send(wit_stream::new().1);
        told.push(format!("send early: {:?}", sent(&socket).await));
        told.push(format!("receive early: {:?}", socket.receive().1.await));
        told.push(format!("remote early: {:?}", socket.get_remote_address().err()));
        told.push(format!("connect by the other family: {:?}", socket.connect(address_of("[::1]:1").unwrap()).await));
        told.push(format!("connect: {:?}", socket.connect(to).await));
        told.push(format!("connect again: {:?}", socket.connect(to).await));
        told.push(format!("bind late: {:?}", socket.bind(address_of("0.0.0.0:0").unwrap())));
        let first = socket.receive();
        told.push(format!("receive twice: {:?}", socket.receive().1.await));
        drop(first);
        let Ok(used) = TcpSocket::create(IpAddressFamily::Ipv4) else { return told };
        told.push(format!("connect elsewhere: {:?}", used.connect(beside).await));
        told.push(format!("connect after that: {:?}", used.connect(to).await));
        told
    }

    async fn options(address: String) -> Result<Vec<u64>, String> {
        let socket = connected(&address).await?;
        let set = || {
            socket.set_keep_alive_enabled(true)?;
            socket.set_keep_alive_idle_time(7_000_000_000)?;
            socket.set_keep_alive_interval(u64::MAX)?;
            socket.set_keep_alive_count(3)?;
            socket.set_hop_limit(9)?;
            socket.set_receive_buffer_size(10_000)?;
            socket.set_send_buffer_size(10_000)?;
            let refused = socket.set_hop_limit(0).is_err() && socket.set_keep_alive_count(0).is_err();
            Ok(vec![
                u64::from(socket.get_keep_alive_enabled()?),
                socket.get_keep_alive_idle_time()?,
                socket.get_keep_alive_interval()?,
                u64::from(socket.get_keep_alive_count()?),
                u64::from(socket.get_hop_limit()?),
                socket.get_receive_buffer_size()?,
                socket.get_send_buffer_size()?,
                u64::from(refused),
            ])
        };
        set().map_err(coded)
    }
}

export!(Dialing);
