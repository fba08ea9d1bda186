//! Each document of the sample library that `make run` shows gives its whole text: its first and last words, and letters and
//! signs in between that a wrong character set would spoil.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use superfasttt_extract::{Limits, extract};
use support::named;

/// Document, extractor, and passages of its text in order.
const DOCUMENTS: &[(&str, &str, &[&str])] = &[
    (
        "administration/Règlement intérieur.docx",
        "docx",
        &[
            "Les Ateliers de l'Érable – 12, quai de la Fosse, 44000 Nantes\nRèglement intérieur de l'atelier\n",
            "Article 1 – Horaires. L'atelier ouvre à 7 h 30",
            "Toute blessure, même légère, est inscrite au registre.\n",
            "La gérante, Hélène Garçon.\n",
            "Poste\tRéférent\nMachines\tNoël Le Guénnec\nFinitions\tAnaïs Bœuf",
        ],
    ),
    (
        "administration/Budget 2026.xlsx",
        "xlsx",
        &[
            "Dépenses\n\nPoste\t1er semestre (€)\t2e semestre (€)\n",
            "Bois massif : chêne, érable, noyer\t18400\t21250.5\n",
            "Recettes\n\nChantier\tMontant (€)\n",
            "Particuliers\t31200",
        ],
    ),
    (
        "administration/Facture 2026-014.pdf",
        "pdf",
        &[
            "Facture n° 2026-014",
            "Mme Œnone Lefèvre",
            "indemnité forfaitaire de 40 €",
            "Étagère murale",
            "5 570,00 €",
        ],
    ),
    (
        "administration/avenant-bail.rtf",
        "rtf",
        &[
            "Bail commercial – avenant n° 2\nEntre la société civile « Les Quais »",
            "porté à 19 200 € à compter",
            "à Nantes, le 14 octobre 2026.",
        ],
    ),
    (
        "administration/fournisseurs.csv",
        "csv",
        &[
            "Fournisseur;Ville;Produits;Délai (jours);Dernier prix (€/m³)\n",
            "Bois d'Œuvre Réunis",
            "Vernis Gaïa;Orléans;huiles, cires;7;",
        ],
    ),
    (
        "administration/Procès-verbal AG 2026.odt",
        "odt",
        &[
            "Procès-verbal de l'assemblée générale du 12 juin 2026\n\nPrésents : Hélène",
            "17 840 €",
            "le 4 décembre 2026.",
        ],
    ),
    (
        "projets/Harbour Café – proposal.pdf",
        "pdf",
        &[
            "Proposal: fittings for the Harbour Café, Bristol",
            "joined on site within a day.",
            "£24,300",
            "until 30 November 2026.",
        ],
    ),
    (
        "projets/catalogue-automne.pptx",
        "pptx",
        &[
            "Catalogue d'automne 2026",
            "Commencer par l'histoire de l'atelier.",
            "Plateau en chêne d'une seule pièce\nPieds démontables\nÀ partir de 1 450 €",
            "Maple, no visible screws\n",
            "Bring a sample of the joint.",
        ],
    ),
    (
        "projets/Caring for oiled wood.docx",
        "docx",
        &[
            "Les Ateliers de l'Érable – care guide\nCaring for oiled wood\n",
            "Use soft soap",
            "Walnut\t12 months",
        ],
    ),
    (
        "projets/workshop-notes.md",
        "markdown",
        &["# Workshop notes: media library in Angers\n", "before the *rentrée*.\n", "| ladder | 1 | 0 |"],
    ),
    (
        "projets/page-accueil.html",
        "html",
        &[
            "Les Ateliers de l'Érable – ébénisterie à Nantes\n\nDu bois d'ici, pour longtemps\n\nDepuis 1987",
            "en chêne, en érable et en noyer, cœur et âme du métier.\n",
            "- Bibliothèques sur mesure\n- Restauration de meubles anciens\n",
            "Samedi\t10 h – 16 h\n",
            "chaussures fermées exigées\u{a0}!",
        ],
    ),
    (
        "projets/stock.json",
        "json",
        &["{\n  \"updated\": \"2026-10-02\"", "\"réservé : comptoir du Harbour Café\"", "]\n}"],
    ),
    (
        "projets/Re Livraison des étagères.eml",
        "email",
        &[
            "Subject: Re: Livraison des étagères – créneau du 28 août\nFrom: Zoé Mañas <",
            "To: Œnone Lefèvre <",
            "Bonjour Madame Lefèvre,\n\nLe camion arrivera vendredi 28 août",
            "Bien à vous,\nZoé Mañas\n",
            "Attachments: Plan d'accès.dwg",
        ],
    ),
    (
        "équipe/Congés d'été.txt",
        "text",
        &["Congés d'été 2026\n\nHélène   du 6 au 24 juillet\n", "la prime reste de 25 € par jour."],
    ),
    (
        "équipe/mémo-1998.txt",
        "text",
        &[
            "À toute l'équipe, le 2 novembre 1998\n\nLe nouvel",
            "« à la machine »",
            "cœur fragile !\n",
            "en €",
            "Maël Garçon",
        ],
    ),
    (
        "équipe/note-téléphone.txt",
        "text",
        &["Note exportée du téléphone de Noël\n\nChez le client", "65 % → attendre", "« La Maison du Sel »."],
    ),
    (
        "équipe/welcome.md",
        "markdown",
        &["# Welcome to the workshop\n", "until Noël is satisfied.", "always be thanked for it."],
    ),
    (
        "équipe/heures-septembre.ods",
        "ods",
        &[
            "Semaine 36\nPrénom\tChantier\tHeures\n",
            "Noël\tMédiathèque d'Angers : échelle\t38,5\n",
            "déplacement compris\t41",
        ],
    ),
];

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/library")
}

#[test]
fn each_document_gives_its_whole_text() {
    for (name, extractor, passages) in DOCUMENTS {
        let path = library().join(name);
        assert!(path.metadata().unwrap().len() < 60 << 10, "{name} is small");
        let found = extract(&path, &named(name), &Limits::default()).unwrap();
        assert_eq!((found.extractor, found.truncated), (*extractor, false), "{name}");
        let mut rest = found.text.as_str();
        for passage in *passages {
            let at = rest
                .find(passage)
                .unwrap_or_else(|| panic!("{name}: {passage:?} not in order in {:?}", found.text));
            rest = &rest[at + passage.len()..];
        }
        let ends = passages.last().is_some_and(|last| found.text.ends_with(last));
        assert!(ends, "{name} ends with its last words, not with {rest:?}");
    }
}

#[test]
fn no_document_is_left_out_of_this_test() {
    let mut on_disk = BTreeSet::new();
    for folder in std::fs::read_dir(library()).unwrap() {
        let folder = folder.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            on_disk.insert(format!("{}/{name}", folder.file_name().to_str().unwrap()));
        }
    }
    assert_eq!(on_disk, DOCUMENTS.iter().map(|document| document.0.to_owned()).collect());
}
