//! Who takes part, and the source of their programs.

use std::fmt::Write;

pub(crate) const POOL_MAP: &str = "`pool_map(..).unordered()`";
pub(crate) const BUFFER_UNORDERED: &str = "futures `buffer_unordered`";

/// A way to run many futures, at most eight at once.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// What its program is called.
    pub(crate) program: &'static str,
    /// What its program uses in addition to what all do.
    uses: &'static str,
    /// What its sites make a stream with. `CLOSURE` stands for what makes the futures of the numbers from 0 to `n`.
    stream: &'static str,
}

pub(crate) const CONTESTANTS: [Contestant; 5] = [
    Contestant {
        name: POOL_MAP,
        program: "pool_map_unordered",
        uses: "use futures_pool::prelude::*;",
        stream: "(0..n).pool_map(8, CLOSURE).unordered()",
    },
    Contestant {
        name: BUFFER_UNORDERED,
        program: "buffer_unordered",
        uses: "use futures_util::stream;",
        stream: "stream::iter(0..n).map(CLOSURE).buffer_unordered(8)",
    },
    Contestant {
        name: "futures-buffered `buffered_unordered`",
        program: "buffered_unordered",
        uses: "use futures_buffered::BufferedStreamExt;\nuse futures_util::stream;",
        stream: "stream::iter(0..n).map(CLOSURE).buffered_unordered(8)",
    },
    Contestant {
        name: "`pool_map(..)`",
        program: "pool_map",
        uses: "use futures_pool::prelude::*;",
        stream: "(0..n).pool_map(8, CLOSURE)",
    },
    Contestant {
        name: "futures `buffered`",
        program: "buffered",
        uses: "use futures_util::stream;",
        stream: "stream::iter(0..n).map(CLOSURE).buffered(8)",
    },
];

/// The program without sites.
pub(crate) const EMPTY: &str = "empty";

/// The types of the results, each with an expression that makes one of the numbers `x` and `site`.
const RESULTS: [(&str, &str); 6] = [
    ("u64", "x ^ site"),
    ("u32", "(x ^ site) as u32"),
    ("String", "String::from_utf8(vec![(x & 0x7f) as u8]).unwrap_or_default()"),
    ("[u64; 3]", "[x, site, 1]"),
    ("()", "black_box(())"),
    ("Option<u64>", "Some(x + site)"),
];

const START: &str = "#![allow(unused)]

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
USES

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[inline(never)]
fn block_on(mut site: Pin<&mut dyn Future<Output = u64>>) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(count) = site.as_mut().poll(&mut cx) {
            return count;
        }
    }
}
";

const SITE: &str = "
async fn siteNUMBER(n: u64) -> u64 {
    let mut stream = pin!(STREAM);
    let mut count = 0;
    while let Some(item) = stream.next().await {
        let item: RESULT = item;
        black_box(&item);
        count += 1;
    }
    count
}
";

const CLOSURE: &str = "async |x: u64| {
        yield_now().await;
        let site = black_box(NUMBER_u64);
        EXPRESSION
    }";

/// The source of a program of so many sites. It panics unless each site hands over all its results.
pub(crate) fn source(contestant: &Contestant, sites: u16) -> String {
    let mut source = START.replace("USES", contestant.uses);
    let mut calls = String::new();
    for (number, (result, expression)) in (0..sites).zip(RESULTS.iter().cycle()) {
        let closure = CLOSURE.replace("EXPRESSION", expression);
        let stream = contestant.stream.replace("CLOSURE", &closure);
        let site = SITE.replace("STREAM", &stream).replace("RESULT", result);
        source += &site.replace("NUMBER", &number.to_string());
        writeln!(calls, "    count += block_on(pin!(site{number}(n)));").expect("a string takes everything");
    }
    source + &main(&calls, sites)
}

/// The source of the program without sites.
pub(crate) fn empty() -> String {
    START.replace("USES", "") + &main("", 0)
}

fn main(calls: &str, sites: u16) -> String {
    format!(
        "\nfn main() {{\n    let n = black_box(20);\n    let mut count = 0;\n{calls}    \
         assert_eq!(count, {sites} * n);\n}}\n"
    )
}
