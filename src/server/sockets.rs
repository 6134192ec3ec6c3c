//! The sockets that visitors and operators connect to.
//!
//! Holds always: a socket that was inherited serves what `gateway.toml` says of its
//! address, and nothing else; what it says and nobody gave is bound here.

use std::io;
use std::net::{SocketAddr, TcpListener};

use tracing::warn;

use super::StartError;
use crate::config::Plan;

/// How many connections may wait to be accepted: while one process hands over to
/// the next, all that come. The system may allow fewer (net.core.somaxconn).
const WAITING: i32 = 4096;

/// Bound sockets, as runtimes take them, with their addresses.
pub(super) type Listeners = Vec<(TcpListener, SocketAddr)>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// For visitors, those without TLS and those with.
    pub(super) listeners: [Listeners; 2],
    /// For operators.
    pub(super) admin: Option<(TcpListener, SocketAddr)>,
}

impl Sockets {
    /// Those that `plan` asks for: `given` ones, or new.
    pub(super) fn of(plan: &Plan, given: Vec<TcpListener>) -> Result<Self, StartError> {
        let mut given = Given::new(given)?;
        let listen = plan.server.listen.get_ref().iter();
        let listen: Vec<_> = listen.map(|address| address.get()).collect();
        let tls = plan.tls.as_ref().map(|tls| tls.listen.as_slice());
        let admin = plan.server.admin_listen.map(|address| address.get());
        let wanted = [
            ("listen", listen.as_slice()),
            ("tls.listen", tls.unwrap_or_default()),
            ("admin_listen", admin.as_slice()),
        ];
        // Port 0 takes what is left: it is nobody's in particular.
        let mut found = wanted.map(|(_, addresses)| {
            let known = addresses.iter().map(|address| given.at(*address));
            known.collect::<Vec<_>>()
        });
        for ((setting, addresses), found) in wanted.iter().zip(&mut found) {
            for (address, socket) in addresses.iter().zip(found) {
                if socket.is_none() {
                    let any = given.any_at(*address);
                    *socket = Some(any.map_or_else(|| bind(*address, setting), Ok)?);
                }
            }
        }
        for (_, address) in given.0 {
            warn!(
                "a socket on {address} was handed over, which gateway.toml does not name: it is closed"
            );
        }
        let [plain, tls, admin] =
            found.map(|found| found.into_iter().flatten().collect::<Vec<_>>());
        Ok(Self {
            listeners: [plain, tls],
            admin: admin.into_iter().next(),
        })
    }

    /// All of them, for the next process.
    pub(super) fn all(&self) -> io::Result<Vec<TcpListener>> {
        let listeners = self.listeners.iter().flatten().chain(&self.admin);
        listeners
            .map(|(listener, _)| listener.try_clone())
            .collect()
    }
}

/// Sockets that were handed over, until each has its place.
struct Given(Listeners);

impl Given {
    fn new(sockets: Vec<TcpListener>) -> Result<Self, StartError> {
        let prepared = sockets.into_iter().map(prepared);
        Ok(Self(prepared.collect::<Result<_, _>>()?))
    }

    fn take(&mut self, fits: impl Fn(SocketAddr) -> bool) -> Option<(TcpListener, SocketAddr)> {
        let at = self.0.iter().position(|(_, address)| fits(*address))?;
        Some(self.0.remove(at))
    }

    /// The one on `address`.
    fn at(&mut self, address: SocketAddr) -> Option<(TcpListener, SocketAddr)> {
        self.take(|given| given == address)
    }

    /// One that a socket bound to `address` may have become.
    fn any_at(&mut self, address: SocketAddr) -> Option<(TcpListener, SocketAddr)> {
        self.take(|given| address.port() == 0 && given.ip() == address.ip())
    }
}

fn bind(
    address: SocketAddr,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(address).map_err(|error| StartError::Bind {
        address,
        setting,
        reason: error.kind(),
    })?;
    prepared(bound)
}

/// A bound socket as a runtime takes it, with its address.
fn prepared(listener: TcpListener) -> Result<(TcpListener, SocketAddr), StartError> {
    let usable = rustix::net::listen(&listener, WAITING)
        .map_err(io::Error::from)
        .and_then(|()| listener.set_nonblocking(true));
    let address = usable.and_then(|()| listener.local_addr());
    address
        .map(|address| (listener, address))
        .map_err(StartError::Socket)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn plan(server: &str) -> Plan {
        let text = format!(
            "[server]\nstate_dir = \"state\"\n{server}\n[[routes]]\nhost = \"a.test\"\nupstream = \"http://127.0.0.1:1\"\n\
             auth = \"none\"\n"
        );
        Plan::parse(Path::new("gateway.toml"), &text).unwrap_or_else(|all| panic!("{all}"))
    }

    #[test]
    fn a_socket_serves_what_the_file_says_of_its_address() {
        let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second, third, stray) = (bound(), bound(), bound(), bound());
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let (one, two, three) = (address(&first), address(&second), address(&third));
        let plan = plan(&format!(
            "listen = [\"127.0.0.1:0\", \"{two}\", \"[::1]:0\"]\nadmin_listen = \"{one}\""
        ));
        // Whatever their order.
        let sockets = Sockets::of(&plan, vec![first, third, second, stray]).unwrap();
        let [plain, tls] = &sockets.listeners;
        let plain: Vec<_> = plain.iter().map(|(_, address)| *address).collect();
        assert_eq!(plain[..2], [three, two]);
        assert!(plain[2].is_ipv6() && tls.is_empty());
        assert_eq!(sockets.admin.as_ref().unwrap().1, one);
        assert_eq!(sockets.all().unwrap().len(), 4);
    }
}
