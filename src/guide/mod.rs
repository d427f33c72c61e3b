#![doc = ""]
#![doc = include_str!("links.txt")]
#![doc = include_str!("README.md")]

// The pages are Markdown, to be read on a forge as well. `links.txt`, which `.ci/guide` makes of them, comes before each: it
// says where their links lead in the docs, and has the pictures. (So its lines count where a test names the line of a snippet.)
macro_rules! pages {
    ($($page:ident)*) => {
        $(
            #[doc = ""]
            #[doc = include_str!("links.txt")]
            #[doc = include_str!(concat!(stringify!($page), ".md"))]
            pub mod $page {}
        )*
    };
}

pages! {
    bare_metal
    busy_consumers
    compiler_errors
    cookbook
    design
    errors
    faq
    forms
    guarantees
    migrating
    more_machines
    performance
    pitfalls
    when_not
}
