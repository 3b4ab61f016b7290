//! Connections to one endpoint: TCP, TLS, and the HTTP handshake.

use std::{sync::Arc, time::Duration};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{NotSent, SetUpError, connection::Connection, pool::Slot};
use crate::{body::Body, config::UpstreamConfig};

/// The head of an upstream's answer may take this much.
const MAX_HEAD_BYTES: usize = 256 * 1024;
/// And this many lines.
const MAX_HEADER_LINES: usize = 256;

/// One endpoint of an upstream.
pub(super) struct Endpoint {
    host: String,
    port: u16,
    /// As in the configuration, for messages.
    pub(super) authority: Authority,
    /// What stands before every path; empty if nothing.
    pub(super) path_prefix: String,
    pub(super) scheme: Scheme,
    tls: Option<Tls>,
    connect_timeout: Duration,
}

struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn new(config: &UpstreamConfig, uri: &Uri) -> Result<Self, SetUpError> {
        let authority = uri.authority().cloned().unwrap_or_else(|| Authority::from_static("localhost"));
        let scheme = uri.scheme().cloned().unwrap_or(Scheme::HTTP);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = scheme == Scheme::HTTPS;
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls { Some(Tls::new(config, &host)?) } else { None };
        let path_prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { host, port, authority, path_prefix, scheme, tls, connect_timeout: config.connect_timeout })
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A new HTTP/1 connection. `slot` is held until it ends.
    pub(super) async fn http1(&self, slot: Slot) -> Result<Connection, NotSent> {
        self.in_time(async {
            let tcp = self.tcp().await?;
            match &self.tls {
                None => self.http1_over(tcp, slot).await,
                Some(tls) => self.http1_over(self.secure(&tls.http1, &tls.name, tcp).await?, slot).await,
            }
        })
        .await
    }

    /// A new HTTP/2 connection.
    pub(super) async fn http2(&self) -> Result<http2::SendRequest<Body>, NotSent> {
        self.in_time(async {
            let tcp = self.tcp().await?;
            match &self.tls {
                None => self.http2_over(tcp).await,
                Some(tls) => self.http2_over(self.secure(&tls.http2, &tls.name, tcp).await?).await,
            }
        })
        .await
    }

    async fn in_time<T>(&self, opening: impl Future<Output = Result<T, NotSent>>) -> Result<T, NotSent> {
        let within = self.connect_timeout;
        tokio::time::timeout(within, opening)
            .await
            .unwrap_or_else(|_| Err(NotSent::ConnectTimeout { endpoint: self.authority.to_string(), within }))
    }

    async fn tcp(&self) -> Result<TcpStream, NotSent> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| self.failed(&error))?;
        tcp.set_nodelay(true).map_err(|error| self.failed(&error))?;
        Ok(tcp)
    }

    async fn secure(
        &self,
        connector: &TlsConnector,
        name: &ServerName<'static>,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, NotSent> {
        connector.connect(name.clone(), tcp).await.map_err(|error| self.failed(&format!("TLS: {error}")))
    }

    async fn http1_over<I>(&self, io: I, slot: Slot) -> Result<Connection, NotSent>
    where
        I: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .writev(false)
            .max_headers(MAX_HEADER_LINES)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(Connection::new(sender, async move {
            // How it ended, the request that was on it says.
            let _ended = connection.with_upgrades().await;
            drop(slot);
        }))
    }

    async fn http2_over<I>(&self, io: I) -> Result<http2::SendRequest<Body>, NotSent>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| self.failed(&error))?;
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        Ok(sender)
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> NotSent {
        NotSent::Connect { endpoint: self.authority.to_string(), reason: reason.to_string() }
    }
}

impl Tls {
    fn new(config: &UpstreamConfig, host: &str) -> Result<Self, SetUpError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| SetUpError::ServerName { upstream: config.name.to_string(), host: host.to_owned() })?;
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        let (added, _unreadable) = roots.add_parsable_certificates(loaded.certs);
        if added == 0 {
            let errors = loaded.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(SetUpError::Roots(if errors.is_empty() { "there are none".to_owned() } else { errors }));
        }
        let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let speaking = |alpn: &[u8]| {
            let mut client = client.clone();
            client.alpn_protocols = vec![alpn.to_vec()];
            TlsConnector::from(Arc::new(client))
        };
        Ok(Self { name, http1: speaking(b"http/1.1"), http2: speaking(b"h2") })
    }
}
