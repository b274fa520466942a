//! stub
use crate::audit::Draft; use tokio::time::Instant;
#[derive(Debug,Clone)] pub struct Audit; #[derive(Debug)] pub struct Seat; #[derive(Debug)] pub struct Unavailable;
impl Audit{ pub async fn reserve(&self,_:Instant)->Result<Seat,Unavailable>{Ok(Seat)} pub fn deny(&self,_:Draft){} }
impl Seat{ pub async fn initiate(&mut self,_:Draft,_:Instant)->Result<(),Unavailable>{Ok(())} pub fn complete(self,_:Draft){} }
