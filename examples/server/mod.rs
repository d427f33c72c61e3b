//! An HTTP server for the examples to fetch from: slow, uneven, and in part broken.
//!
//! Page `n` is at `/page/n`. Its length, how long the server takes over it and whether it fails ([`Answer`]) depend on
//! `n` alone, so every run is the same, and a client can check what it got. It begins with its title.
//!
//! A server that was [started with a limit](Server::start_limited) is another: none of its pages fails, each takes 40 ms, and all
//! take longer while more requests are in flight than the limit.
//!
//! The server notes each change of the number of its requests in flight. [`Server::load`] is what it saw: not what a
//! client believes to have sent, but what was really there at the same time.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// How the server answers a page: two in twenty-five fail, in one of four ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200 and the page.
    Page,
    /// 404.
    NotFound,
    /// 500.
    Broken,
    /// Nothing: the connection is closed before an answer.
    Hangup,
    /// 200 and half of the page; then the connection is closed.
    Half,
}

impl Answer {
    /// The answer to page `page`.
    pub(crate) fn of(page: usize) -> Self {
        match page % 50 {
            11 => Self::NotFound,
            22 => Self::Broken,
            33 => Self::Hangup,
            44 => Self::Half,
            _ => Self::Page,
        }
    }
}

/// The length in bytes of page `page`; no two of 9,001 pages in a row are of the same length.
pub(crate) fn length(page: usize) -> usize {
    1_000 + page % 9_001 * 7_919 % 9_001
}

/// The title of page `page`.
pub(crate) fn title(page: usize) -> String {
    format!("Page {page}")
}

/// How long the server takes over page `page`: 50 to 200 ms, but 800 ms for one page in a hundred.
pub(crate) fn latency(page: usize) -> Duration {
    let millis = match page % 100 {
        5 => 800,
        nth => 50 + nth * 37 % 151,
    };
    Duration::from_millis(millis as u64)
}

/// The server. It runs in the runtime it was started in, for as long as that does.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    log: Arc<Log>,
}

impl Server {
    /// Starts the server at a free port of 127.0.0.1.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        tokio::spawn(accept(listener, Arc::clone(&log), Manner::Uneven));
        Ok(Self { address, log })
    }

    /// Starts a server that slows down while more requests are in flight than `limit` says, which is given the page.
    #[allow(dead_code, reason = "for one example")]
    pub(crate) async fn start_limited(limit: impl Fn(usize) -> usize + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::default());
        tokio::spawn(accept(listener, Arc::clone(&log), Manner::Limited(Arc::new(limit))));
        Ok(Self { address, log })
    }

    /// The URL of page `page`.
    pub(crate) fn url(&self, page: usize) -> String {
        format!("http://{}/page/{page}", self.address)
    }

    /// What the server has seen so far.
    pub(crate) fn load(&self) -> Load {
        Load::new(&self.log.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The requests in flight, as the server saw them from the first one's arrival to the last one's.
///
/// The last arrival is when the client's source has run dry. What is in flight after that is only the rest of the work,
/// and says nothing of whether the client keeps its places filled.
#[derive(Debug)]
pub(crate) struct Load {
    /// How many requests arrived.
    pub(crate) requests: usize,
    /// How many were in flight at most.
    pub(crate) most: usize,
    /// The time from the first arrival to the last.
    pub(crate) window: Duration,
    /// For how much of the window there were `n` in flight, by `n`.
    at: Vec<Duration>,
}

impl Load {
    fn new(log: &[Change]) -> Self {
        let last = log.iter().rposition(|change| change.arrival);
        let log = last.map_or(&[][..], |last| &log[..=last]);
        let most = log.iter().map(|change| change.in_flight).max().unwrap_or(0);
        let mut at = vec![Duration::ZERO; most + 1];
        for pair in log.windows(2) {
            at[pair[0].in_flight] += pair[1].when - pair[0].when;
        }
        Self { requests: log.iter().filter(|change| change.arrival).count(), most, window: at.iter().sum(), at }
    }

    /// How many requests were in flight on average over the window.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    pub(crate) fn mean(&self) -> f64 {
        (0..=self.most).map(|n| n as f64 * self.share_at(n)).sum()
    }

    /// The share of the window, from 0 to 1, with exactly `n` requests in flight.
    pub(crate) fn share_at(&self, n: usize) -> f64 {
        match self.at.get(n) {
            Some(time) if !self.window.is_zero() => time.div_duration_f64(self.window),
            _ => 0.0,
        }
    }
}

/// A request has arrived or is done with, and `in_flight` of them are there from `when` on.
#[derive(Debug)]
struct Change {
    when: Instant,
    arrival: bool,
    in_flight: usize,
}

/// How the server answers.
#[derive(Clone)]
enum Manner {
    /// Some pages are slow, some fail.
    Uneven,
    /// The same for all, and the slower the more requests are in flight beyond a limit.
    #[allow(dead_code, reason = "for one example")]
    Limited(Arc<dyn Fn(usize) -> usize + Send + Sync>),
}

/// How long a page takes of a server that has a limit, and is below it.
const WORK: Duration = Duration::from_millis(40);
/// How often such a server looks how many requests are in flight.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Log(Mutex<Vec<Change>>);

impl Log {
    fn in_flight(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |change| change.in_flight)
    }

    fn note(&self, arrival: bool) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = log.last().map_or(0, |change| change.in_flight);
        let in_flight = if arrival { before + 1 } else { before - 1 };
        let when = Instant::now();
        log.push(Change { when, arrival, in_flight });
    }
}

/// One request in flight, from its arrival until this is dropped: be it that the handler is at its end or that it is
/// dropped before completion because the client has gone.
struct InFlight<'a>(&'a Log);

impl<'a> InFlight<'a> {
    fn new(log: &'a Log) -> Self {
        log.note(true);
        Self(log)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.note(false);
    }
}

/// Why the server closes a connection in the midst of a request.
type Closed = io::Error;

async fn accept(listener: TcpListener, log: Arc<Log>, manner: Manner) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(tokio::spawn(serve(connection, Arc::clone(&log), manner.clone()))),
            // Out of file descriptors, most likely: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(connection: TcpStream, log: Arc<Log>, manner: Manner) {
    let service = service_fn(|request| handle(request, &log, &manner));
    // The error is one we planted, or else the client's: it sees for itself.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn handle<B>(
    request: Request<B>,
    log: &Log,
    manner: &Manner,
) -> Result<Response<BoxBody<Bytes, Closed>>, Closed> {
    // Given up before the answer goes out, and so before the client can send its next request.
    let _in_flight = InFlight::new(log);
    let Some(page) = request.uri().path().strip_prefix("/page/").and_then(|n| n.parse().ok()) else {
        return Ok(answer(StatusCode::NOT_FOUND, "no such page\n"));
    };
    if let Manner::Limited(limit) = manner {
        work(limit(page), log).await;
        return Ok(answer(StatusCode::OK, text(page)));
    }
    tokio::time::sleep(latency(page)).await;
    match Answer::of(page) {
        Answer::Page => Ok(answer(StatusCode::OK, text(page))),
        Answer::NotFound => Ok(answer(StatusCode::NOT_FOUND, "no such page\n")),
        Answer::Broken => Ok(answer(StatusCode::INTERNAL_SERVER_ERROR, "something broke\n")),
        Answer::Hangup => Err(io::Error::other("hung up")),
        Answer::Half => Ok(half(length(page))),
    }
}

/// Does what a page takes: with twice as many requests in flight as `limit`, four times as slowly.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
async fn work(limit: usize, log: &Log) {
    let (mut last, mut done) = (Instant::now(), Duration::ZERO);
    while done < WORK {
        tokio::time::sleep(TICK).await;
        let share = limit as f64 / log.in_flight().max(limit) as f64;
        done += last.elapsed().mul_f64(share * share);
        last = Instant::now();
    }
}

/// What is on page `page`: its title, and dots up to its length.
fn text(page: usize) -> String {
    format!("{:.<1$}", format!("<title>{}</title>\n", title(page)), length(page))
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<BoxBody<Bytes, Closed>> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = status;
    response
}

/// Promises `length` bytes, sends half of them, and closes the connection.
fn half(length: usize) -> Response<BoxBody<Bytes, Closed>> {
    let sent = Frame::data(Bytes::from(vec![b'.'; length / 2]));
    let frames = stream::iter([Ok(sent)]).chain(stream::once(async {
        // While it waits for more, hyper sends what it has; on an error, it does not.
        tokio::task::yield_now().await;
        Err(io::Error::other("no more"))
    }));
    let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}
