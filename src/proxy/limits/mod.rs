//! stub
use std::sync::Arc; use std::net::IpAddr;
#[derive(Debug)] pub struct Limits; #[derive(Debug)] pub struct Limiter;
#[derive(Debug)] pub struct Keys<'a>{pub ip:IpAddr,pub route:&'a str,pub headers:&'a http::HeaderMap}
#[derive(Debug,Default)] pub struct Verdict{pub denied:Option<Denial>,pub would_deny:Option<Arc<str>>}
#[derive(Debug)] pub struct Denial{pub limit:Arc<str>}
impl Limits{ pub fn compile(_:&crate::config::Config,_:Option<&Limits>)->Self{Limits} pub fn resolve(&self,_:&[Arc<str>])->Arc<[Arc<Limiter>]>{Arc::new([])} }
pub fn admit(_:&[Arc<Limiter>],_:&Keys<'_>)->Verdict{Verdict::default()}
pub fn dress(_:&mut http::HeaderMap,_:&Verdict){}
pub fn dress_retry_after(_:&mut http::HeaderMap,_:&Denial){}
