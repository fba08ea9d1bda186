//! What each page says, in each language: what happened, and what the person does next.

use super::language::Language;
use crate::credentials::authorize::Refusal;
use crate::store::credentials::{Account, State, Status};

/// The words of a page.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The title, and the heading.
    pub(super) title: &'static str,
    /// What happened.
    pub(super) text: Vec<String>,
    /// What else is known, by name.
    pub(super) details: Vec<(&'static str, String)>,
    /// What to do.
    pub(super) next: String,
}

/// One of two texts.
fn say<T>(language: Language, english: T, french: T) -> T {
    match language {
        Language::English => english,
        Language::French => french,
    }
}

fn shown(account: Option<&Account>) -> String {
    let account = account.cloned().unwrap_or_default();
    if account.name.is_empty() { account.id } else { account.name }
}

/// After a grant was stored.
pub(super) fn connected(language: Language, connection: &str, status: &Status) -> Words {
    let account = shown(status.account.as_ref());
    let close = say(language, "You can close this window.", "Vous pouvez fermer cette fenêtre.").to_owned();
    let mut details = vec![(say(language, "Connection", "Connexion"), connection.to_owned())];
    if let (State::Pending, Some(other)) = (status.state, &status.other_account) {
        details.push((say(language, "Account so far", "Compte jusqu’ici"), account));
        details.push((say(language, "Account now", "Compte maintenant"), shown(Some(other))));
        return Words {
            title: say(language, "This is another account", "C’est un autre compte"),
            text: vec![say(
                language,
                "You connected another account than the one that this connection has used so far. Nothing is synced until \
                 somebody confirms the change.",
                "Vous avez connecté un autre compte que celui que cette connexion utilisait jusqu’ici. Rien n’est \
                 synchronisé tant que le changement n’est pas confirmé.",
            )
            .to_owned()],
            details,
            next: say(
                language,
                "Confirm it where the connection is managed, or connect again with the former account.",
                "Confirmez-le là où la connexion est gérée, ou reconnectez l’ancien compte.",
            )
            .to_owned(),
        };
    }
    if !account.is_empty() {
        details.push((say(language, "Account", "Compte"), account));
    }
    if status.state != State::Connected {
        return Words {
            title: say(language, "The account still has to be checked", "Le compte reste à vérifier"),
            text: vec![say(
                language,
                "Access was granted. Whether it is the same account as before could not be checked yet; nothing is synced \
                 until then.",
                "L’accès a été accordé. Il n’a pas encore été possible de vérifier que c’est le même compte qu’avant ; rien \
                 n’est synchronisé d’ici là.",
            )
            .to_owned()],
            details,
            next: say(
                language,
                "Test the connection where it is managed.",
                "Testez la connexion là où elle est gérée.",
            )
            .to_owned(),
        };
    }
    let mut text = vec![say(language, "The account is connected.", "Le compte est connecté.").to_owned()];
    if !status.missing_scopes.is_empty() {
        text.push(
            say(
                language,
                "Not everything that was asked for was granted. What needs the following cannot be synced; connect again \
                 to grant it.",
                "Tout ce qui a été demandé n’a pas été accordé. Ce qui nécessite les droits suivants ne peut pas être \
                 synchronisé ; reconnectez le compte pour les accorder.",
            )
            .to_owned(),
        );
        details.push((say(language, "Not granted", "Non accordé"), status.missing_scopes.join(", ")));
    }
    Words { title: say(language, "Account connected", "Compte connecté"), text, details, next: close }
}

/// Where nothing came of it.
pub(super) fn refused(language: Language, refusal: &Refusal) -> Words {
    let again = say(language, "Begin again where you started.", "Recommencez là où vous avez commencé.");
    let admin = say(
        language,
        "Tell the administrator of this installation what is written here.",
        "Transmettez ce qui est écrit ici à l’administrateur de cette installation.",
    );
    let said = |text: &str| {
        let name = say(language, "The provider says", "Le fournisseur indique");
        if text.is_empty() { Vec::new() } else { vec![(name, text.to_owned())] }
    };
    let (title, text, details, next) = match refusal {
        Refusal::Malformed => (
            say(language, "This is no answer of a provider", "Ce n’est pas la réponse d’un fournisseur"),
            say(
                language,
                "The address of this page is incomplete. Nothing was connected.",
                "L’adresse de cette page est incomplète. Rien n’a été connecté.",
            ),
            Vec::new(),
            again,
        ),
        Refusal::Unknown | Refusal::OfBrowser => (
            say(language, "This link is not known", "Ce lien est inconnu"),
            say(
                language,
                "It belongs to no connection that is being made here, or it ended long ago. Nothing was connected.",
                "Il ne correspond à aucune connexion en cours ici, ou il a expiré depuis longtemps. Rien n’a été connecté.",
            ),
            Vec::new(),
            again,
        ),
        Refusal::Expired => (
            say(language, "This link has expired", "Ce lien a expiré"),
            say(
                language,
                "It was good for ten minutes. Nothing was connected.",
                "Il était valable dix minutes. Rien n’a été connecté.",
            ),
            Vec::new(),
            again,
        ),
        Refusal::Used => (
            say(language, "This link was used already", "Ce lien a déjà été utilisé"),
            say(
                language,
                "Each link is good for one answer. What the first one did stays as it is.",
                "Chaque lien ne vaut que pour une réponse. Ce que la première a fait reste inchangé.",
            ),
            Vec::new(),
            say(
                language,
                "Look at the connection; begin again if it is not connected.",
                "Consultez la connexion ; recommencez si elle n’est pas connectée.",
            ),
        ),
        Refusal::OtherBrowser => (
            say(language, "This is another browser", "Ce n’est pas le même navigateur"),
            say(
                language,
                "The answer came from a browser that did not open the link, or that refuses cookies. So that nobody can \
                 connect an account in your name, nothing was connected.",
                "La réponse vient d’un navigateur qui n’a pas ouvert le lien, ou qui refuse les cookies. Afin que personne ne \
                 puisse connecter un compte en votre nom, rien n’a été connecté.",
            ),
            Vec::new(),
            say(
                language,
                "Open the link again, and agree in the same browser.",
                "Ouvrez de nouveau le lien et donnez votre accord dans le même navigateur.",
            ),
        ),
        Refusal::Gone => (
            say(language, "The connection is gone", "La connexion n’existe plus"),
            say(
                language,
                "It was deleted meanwhile. Nothing was connected.",
                "Elle a été supprimée entre-temps. Rien n’a été connecté.",
            ),
            Vec::new(),
            say(language, "You can close this window.", "Vous pouvez fermer cette fenêtre."),
        ),
        Refusal::Denied(text) => (
            say(language, "You did not agree", "Vous n’avez pas donné votre accord"),
            say(
                language,
                "The provider was told not to give access. Nothing was connected, and what was connected before still is.",
                "L’accès a été refusé chez le fournisseur. Rien n’a été connecté, et ce qui l’était auparavant le reste.",
            ),
            said(text),
            say(
                language,
                "To connect the account, begin again and agree.",
                "Pour connecter le compte, recommencez et donnez votre accord.",
            ),
        ),
        Refusal::Provider { code, said: text } => (
            say(language, "The provider answered with an error", "Le fournisseur a répondu par une erreur"),
            say(
                language,
                "It did not let you agree. Nothing was connected.",
                "Il ne vous a pas laissé donner votre accord. Rien n’a été connecté.",
            ),
            [vec![(say(language, "Error", "Erreur"), code.clone())], said(text)].concat(),
            admin,
        ),
        Refusal::OtherProvider => (
            say(language, "This answer is of another provider", "Cette réponse vient d’un autre fournisseur"),
            say(
                language,
                "It is not from the provider that this connection belongs to. So that your access is given to nobody else, \
                 nothing was connected.",
                "Elle ne vient pas du fournisseur auquel cette connexion est liée. Afin que votre accès ne soit donné à \
                 personne d’autre, rien n’a été connecté.",
            ),
            Vec::new(),
            say(
                language,
                "Begin again where you started. If you see this page again, tell the administrator of this installation.",
                "Recommencez là où vous avez commencé. Si cette page s’affiche de nouveau, prévenez l’administrateur de \
                 cette installation.",
            ),
        ),
        Refusal::Exchange(failure) => (
            say(language, "The provider gave no access", "Le fournisseur n’a pas donné accès"),
            say(
                language,
                "You agreed, but the provider did not give the server the access that belongs to it. Nothing was connected.",
                "Vous avez donné votre accord, mais le fournisseur n’a pas donné au serveur l’accès correspondant. Rien n’a \
                 été connecté.",
            ),
            vec![(say(language, "Error", "Erreur"), failure.to_string())],
            admin,
        ),
        Refusal::Here(error) => (
            say(language, "The server could not go on", "Le serveur n’a pas pu continuer"),
            say(language, "Nothing was connected.", "Rien n’a été connecté."),
            vec![(say(language, "Error", "Erreur"), error.message.clone())],
            admin,
        ),
        Refusal::Away(_) => (
            say(language, "The server is busy", "Le serveur est occupé"),
            say(
                language,
                "It cannot reach its database at the moment.",
                "Il ne peut pas accéder à sa base de données pour le moment.",
            ),
            Vec::new(),
            say(
                language,
                "Wait a minute and reload this page. If the link was used then, begin again.",
                "Patientez une minute et rechargez cette page. Si le lien a alors déjà été utilisé, recommencez.",
            ),
        ),
    };
    Words { title, text: vec![text.to_owned()], details, next: next.to_owned() }
}

/// Where an answer is worked on for longer than a person waits.
pub(super) fn slow(language: Language) -> Words {
    Words {
        title: say(language, "This takes longer than usual", "Cela prend plus de temps que d’habitude"),
        text: vec![
            say(
                language,
                "The server is still working on the provider’s answer.",
                "Le serveur traite encore la réponse du fournisseur.",
            )
            .to_owned(),
        ],
        details: Vec::new(),
        next: say(
            language,
            "Look at the connection in a minute; you can close this window.",
            "Consultez la connexion dans une minute ; vous pouvez fermer cette fenêtre.",
        )
        .to_owned(),
    }
}

/// Where there is no page.
pub(super) fn nothing_here(language: Language) -> Words {
    Words {
        title: say(language, "There is nothing here", "Il n’y a rien ici"),
        text: vec![
            say(
                language,
                "This address only receives people who connect an account.",
                "Cette adresse ne reçoit que les personnes qui connectent un compte.",
            )
            .to_owned(),
        ],
        details: Vec::new(),
        next: say(language, "You can close this window.", "Vous pouvez fermer cette fenêtre.").to_owned(),
    }
}
