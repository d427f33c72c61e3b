//! An HTTP server whose requests share one pool of 16: however many are open, no more than 16 are worked on at once.
//!
//! - The pool's handle is in the state of the server, and cloned into each request.
//! - A request whose client goes away takes its work along, since that is tied to it by `cancel_on_drop`.
//! - A graceful stop closes the pool: what has begun is finished and answered, and then the driver ends.
//!
//! A client sends 200 requests over loopback and drops half of them before they are answered. What it then asserts is what
//! the server has seen. Run it with `cargo run --example shared_pool`.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use futures_pool::{Scope, shared};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SIZE: usize = 16;
const REQUESTS: usize = 200;

/// What every request gets.
#[derive(Clone)]
struct State {
    pool: Scope<'static>,
    seen: Arc<Seen>,
}

/// What there was to see in the server.
struct Seen {
    /// Which requests have arrived.
    arrived: Vec<AtomicBool>,
    now: AtomicUsize,
    most: AtomicUsize,
    finished: AtomicUsize,
    stopped: AtomicUsize,
}

impl Seen {
    fn new() -> Self {
        let zero = AtomicUsize::default;
        let arrived = (0..REQUESTS).map(|_| AtomicBool::default()).collect();
        Self { arrived, now: zero(), most: zero(), finished: zero(), stopped: zero() }
    }

    async fn arrival(&self, number: usize) {
        while !self.arrived[number].load(SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Work that is under way. If it is dropped before its end, its request has gone away.
struct Work(Arc<Seen>);

impl Work {
    fn begin(seen: &Arc<Seen>) -> Self {
        let now = seen.now.fetch_add(1, SeqCst) + 1;
        seen.most.fetch_max(now, SeqCst);
        Self(Arc::clone(seen))
    }

    fn finish(self) {
        self.0.finished.fetch_add(1, SeqCst);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

/// Counts a request whose work was not finished.
struct Unanswered(Option<Arc<Seen>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(seen) = &self.0 {
            seen.stopped.fetch_add(1, SeqCst);
        }
    }
}

impl State {
    async fn answer<B>(self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        let number: usize = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
        self.seen.arrived[number].store(true, SeqCst);
        let mut unanswered = Unanswered(Some(Arc::clone(&self.seen)));
        let seen = Arc::clone(&self.seen);
        let work = async move {
            let work = Work::begin(&seen);
            sleep(Duration::from_millis(5 + number as u64 % 10)).await;
            work.finish();
            number * number
        };
        // Without `cancel_on_drop`, the work would be done also for a client that has gone.
        let result = self.pool.spawn_n(work).cancel_on_drop().await;
        unanswered.0 = None;
        let (status, text) = match result {
            Ok(square) => (StatusCode::OK, square.to_string()),
            // The pool was closed.
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        Ok(response)
    }
}

/// Accepts connections until it is told to stop; returns when all of them have ended.
async fn serve(listener: TcpListener, state: State, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("loopback accepts").0,
            _ = stop.changed() => break,
        };
        let (state, mut stop) = (state.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| state.clone().answer(request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stop.changed() => connection.as_mut().graceful_shutdown(),
            }
            // The request under way is answered. That the client has gone is an error of the connection alone.
            let _ = connection.await;
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Asks for the square of a number; returns the status and the text.
async fn fetch(port: u16, number: usize) -> Option<(String, String)> {
    let answer = exchange(port, number).await.ok()?;
    let status = answer.split(' ').nth(1)?.to_owned();
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Sends a request, and reads until the server closes the connection. Dropping this closes it as well.
async fn exchange(port: u16, number: usize) -> io::Result<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("GET /{number} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.writable().await?;
    let sent = stream.try_write(request.as_bytes())?;
    assert_eq!(sent, request.len(), "a new connection has room for it");
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::main]
async fn main() {
    timeout(Duration::from_secs(60), run()).await.expect("it ends within a minute");
}

async fn run() {
    let (pool, driver) = shared(SIZE);
    let driver = tokio::spawn(driver);
    let seen = Arc::new(Seen::new());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let (stop, stopped) = watch::channel(false);
    let state = State { pool: pool.clone(), seen: Arc::clone(&seen) };
    let server = tokio::spawn(serve(listener, state, stopped));

    // Every other client has no patience, and goes away while its request waits for a slot, or is worked on.
    let clients = (0..REQUESTS).map(|number| {
        let seen = &seen;
        async move {
            let leaves = async {
                seen.arrival(number).await;
                if number % 2 == 0 {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                answer = fetch(port, number) => (number, answer),
                () = leaves => (number, None),
            }
        }
    });
    let mut answered = 0;
    for (number, answer) in join_all(clients).await {
        match answer {
            Some((status, text)) => {
                assert_eq!((status.as_str(), text), ("200", (number * number).to_string()));
                answered += 1;
            }
            None => assert!(number % 2 == 1, "a patient client is answered"),
        }
    }
    assert!(answered >= REQUESTS / 2);

    // A graceful stop, with requests under way: these are answered, and then all ends.
    pool.join().await;
    let before = pool.executed();
    let last = tokio::spawn(join_all((0..SIZE).map(|number| fetch(port, number))));
    while pool.executed() + pool.len() < before + SIZE {
        sleep(Duration::from_millis(1)).await;
    }
    pool.close();
    stop.send(true).expect("the server listens");
    let last = last.await.expect("the clients do not panic");
    for (number, answer) in last.into_iter().enumerate() {
        assert_eq!(answer, Some(("200".to_owned(), (number * number).to_string())));
    }
    server.await.expect("the server does not panic");
    driver.await.expect("the driver does not panic");

    let [most, finished, stopped] = [&seen.most, &seen.finished, &seen.stopped].map(|count| count.load(SeqCst));
    println!("{REQUESTS} requests: {answered} answered, {stopped} stopped with their clients, at most {most} at once");
    assert!(most <= SIZE, "no more than the size are worked on");
    assert!(stopped > 0, "some clients have gone early");
    assert!(finished >= answered + SIZE && finished == pool.executed());
    assert_eq!((pool.len(), seen.now.load(SeqCst)), (0, 0), "nothing is left");
    assert!(pool.spawn_n(async {}).await.unwrap_err().is_cancelled(), "the pool has ended");
}
