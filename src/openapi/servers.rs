//! Where the paths of a document begin: the path of each server's URL.

use serde_json::Value;

use super::fault::Fault;
use super::reference::Spot;

/// Different beginnings of one document's paths.
const MAX_BASES: usize = 8;

/// The paths of the servers, each once, without a slash at their ends. `None` where none are listed.
pub(super) fn bases(spot: &Spot<'_>) -> Result<Option<Vec<String>>, Fault> {
    let Some(servers) = spot.member("servers") else { return Ok(None) };
    if !servers.value.is_array() {
        return Err(servers.fault("expected a list of servers"));
    }
    let mut bases = Vec::new();
    for server in servers.items() {
        let Some(url) = server.text("url") else {
            return Err(server.fault("the server has no `url`"));
        };
        let url = fill(url, server.value);
        let base = path_of(&url).trim_end_matches('/').to_owned();
        if !base.is_empty() && (base.contains(['{', '}', '?', '#']) || !base.starts_with('/')) {
            return Err(server.fault("no path can be made of this `url`"));
        }
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    if bases.len() > MAX_BASES {
        return Err(servers.fault("more than 8 different paths"));
    }
    Ok(Some(bases).filter(|bases| !bases.is_empty()))
}

/// Puts the defaults of the variables in.
fn fill(url: &str, server: &Value) -> String {
    let variables = server.get("variables").and_then(Value::as_object);
    let mut filled = url.to_owned();
    for (name, variable) in variables.into_iter().flatten() {
        if let Some(default) = variable.get("default").and_then(Value::as_str) {
            // Each once: what is put in is not looked at again, so nothing grows.
            filled = filled.replacen(&format!("{{{name}}}"), default, 1);
        }
    }
    filled
}

/// The path of a URL that may leave out its beginning.
fn path_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else { return url };
    rest.find('/').map_or("", |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn found(servers: &Value) -> Option<Vec<String>> {
        bases(&Spot::root(&json!({ "servers": servers }))).unwrap()
    }

    #[test]
    fn the_path_of_each_url_counts_once() {
        let servers = json!([{"url": "https://a.example/v1/"}, {"url": "http://localhost:1/v1"},
                             {"url": "/"}, {"url": "https://b.example"}]);
        assert_eq!(found(&servers).unwrap(), ["/v1", ""]);
        assert_eq!(found(&json!([])), None);
        assert_eq!(bases(&Spot::root(&json!({}))), Ok(None));
    }

    #[test]
    fn variables_have_their_defaults() {
        let server = json!([{"url": "https://{host}/{base}", "variables":
            {"base": {"default": "api/v2"}, "host": {"default": "a.example"}}}]);
        assert_eq!(found(&server).unwrap(), ["/api/v2"]);
    }

    #[test]
    fn what_gives_no_path_is_refused() {
        for url in ["https://a.example/{base}", "v1", "/v1?x", "mailto:a"] {
            let servers = json!({ "servers": [{ "url": url }] });
            assert!(bases(&Spot::root(&servers)).is_err(), "{url}");
        }
    }
}
