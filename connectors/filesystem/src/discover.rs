//! The folders of this machine, one level at a time, for the picker of the setting `root`.

use std::path::{Path, PathBuf};

use superfasttt_connector::{ConnectorError, Discover, DiscoverResponse, Resource};

use crate::errors::{bad_setting, from_io};

/// The folders in `request.parent_id`. At the top: those beside the root that is set, or of the whole machine.
pub(crate) fn folders(request: &Discover) -> Result<DiscoverResponse, ConnectorError> {
    let parent = parent_of(request)?;
    let entries = std::fs::read_dir(&parent)
        .map_err(|error| from_io(&error, &format!("the folder {} cannot be listed", parent.display())))?;
    let query = request.query.to_lowercase();
    // A name that is not UTF-8 cannot stand in the settings.
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| *name > request.page_token && name.to_lowercase().contains(&query))
        .filter(|name| parent.join(name).is_dir())
        .collect();
    names.sort_unstable();

    let more = names.len() > request.page_size;
    names.truncate(request.page_size);
    let next_page_token = names.last().filter(|_| more).cloned().unwrap_or_default();
    let resources = names.into_iter().filter_map(|name| {
        Some(Resource {
            id: parent.join(&name).into_os_string().into_string().ok()?,
            name,
            kind: "folder".to_owned(),
            // Said without a look: each look would cost a listing.
            has_children: true,
            selectable: true,
        })
    });
    Ok(DiscoverResponse { resources: resources.collect(), next_page_token })
}

fn parent_of(request: &Discover) -> Result<PathBuf, ConnectorError> {
    if !request.parent_id.is_empty() {
        let parent = Path::new(&request.parent_id);
        return match parent.is_absolute() {
            true => Ok(parent.to_owned()),
            false => Err(bad_setting("root", "the folder to look in is not an absolute path")),
        };
    }
    let root = request.settings.get("root").and_then(|root| root.as_str()).map(Path::new);
    let beside = root.filter(|root| root.is_absolute()).and_then(Path::parent);
    Ok(beside.unwrap_or(Path::new("/")).to_owned())
}
