//! What does nothing, as nobody polls it.

use futures_pool::{InlinePool, Pool, prelude::*, scope};
use std::future::{Ready, ready};

fn main() {
    (0..3).pool_map(2, ready); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).unordered().max_finished(4); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).indexed(); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).batches(|_| true); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).batches(|_| true).timeout(|| ready(())); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).driven(); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    (0..3).pool_map(2, ready).for_each(|_| ready(())); //~ nothing unless polled: `.await` it
    (0..3).pool_map(2, ready).drive(ready(())); //~ nothing unless polled: `.await` it
    (0..3).pool_map(2, ready).into_future(); //~ nothing unless polled: `.await` it
    (0..3).pool_map(2, async |x| if x < 9 { Ok(x) } else { Err(x) }).fail_fast().into_future(); //~ `.await` it
    ready(1).callback(|x, ()| ready(x), ()); //~ nothing unless polled: `.await` it

    let mut pool = Pool::new(2);
    pool.spawn_n(ready(1));
    let _ = pool.map_n(0..3, ready);
    pool.itermap(0..3, ready); //~ nothing unless polled
    pool.itermap(0..3, ready).keyed(); //~ nothing unless polled: `.await` it, or use it as a `Stream`
    Pool::<Ready<()>>::new(2); //~ nothing unless polled: await one of its methods
    InlinePool::<Ready<()>, 2, 2>::new(); //~ a pool does nothing unless polled: use it as a `Stream`

    scope(2, async |pool| { //~ nothing unless polled: `.await` it
        // The handle may be dropped.
        pool.spawn_n(ready(1));
        pool.spawn(ready(1)); //~ nothing unless polled: `.await` it
        pool.exec(ready(1)); //~ nothing unless polled: `.await` it
        pool.map(0..3, ready); //~ nothing unless polled: `.await` it
        pool.itermap(0..3, ready); //~ nothing unless polled
        pool.join(); //~ nothing unless polled: `.await` it
    });
}
