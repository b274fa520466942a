//! stub
use crate::record::Fact;
#[derive(Debug)] pub struct Captures; #[derive(Debug)] pub struct Budget; #[derive(Debug)] pub struct Reservation; #[derive(Debug)] pub struct Unreadable;
impl Captures{ pub fn compile(_:&[crate::config::model::Capture])->Self{Captures} pub fn read(&self,_:&[u8])->Result<Vec<Fact>,Unreadable>{Ok(vec![])} }
impl Budget{ pub fn new(_:usize)->Self{Budget} pub fn reserve(&self,_:usize)->Option<Reservation>{Some(Reservation)} }
