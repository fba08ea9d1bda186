"""Writes the sample library. Run by hand after an edit: README.md says how."""

import json
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pptx
from odf import opendocument, table, text
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

LIBRARY = Path(__file__).parent / "library"
WRITTEN = datetime(2026, 9, 1, 9, 0)


def path(name):
    target = LIBRARY / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def write_text(name, content, encoding="utf-8", newline="\n"):
    path(name).write_bytes(content.strip("\n").replace("\n", newline).encode(encoding))


def write_docx(name, title, paragraphs, header, rows=()):
    document = docx.Document()
    document.core_properties.author = "Les Ateliers de l'Érable"
    document.core_properties.created = document.core_properties.modified = WRITTEN
    document.sections[0].header.paragraphs[0].text = header
    document.add_heading(title, 1)
    for paragraph in paragraphs:
        style = "List Bullet" if paragraph.startswith("- ") else None
        document.add_paragraph(paragraph.removeprefix("- "), style=style)
    if rows:
        grid = document.add_table(rows=0, cols=len(rows[0]))
        for row in rows:
            for cell, value in zip(grid.add_row().cells, row, strict=True):
                cell.text = value
    document.save(path(name))


def write_pdf(name, title, paragraphs, rows=()):
    styles = getSampleStyleSheet()
    story = [Paragraph(title, styles["Title"])]
    for paragraph in paragraphs:
        story += [Paragraph(paragraph, styles["BodyText"]), Spacer(1, 6)]
    if rows:
        story.append(Table(rows))
    SimpleDocTemplate(str(path(name)), pagesize=A4, title=title, invariant=1).build(story)


def write_xlsx(name, sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    book.properties.created = book.properties.modified = WRITTEN
    for sheet_name, rows in sheets.items():
        sheet = book.create_sheet(sheet_name)
        for row in rows:
            sheet.append(row)
    book.save(path(name))


def administration():
    write_docx(
        "administration/Règlement intérieur.docx",
        "Règlement intérieur de l'atelier",
        [
            "Le présent règlement s'applique à toute personne qui travaille à l'atelier, y compris les apprentis et les stagiaires.",
            "Article 1 – Horaires. L'atelier ouvre à 7 h 30 et ferme à 18 h. Les machines bruyantes sont à l'arrêt entre 12 h et 13 h 30.",
            "Article 2 – Sécurité. Le port des lunettes, du casque antibruit et des chaussures de sécurité est obligatoire près des machines.",
            "- La dégauchisseuse ne s'utilise jamais seul.",
            "- L'aspiration est mise en marche avant la première coupe.",
            "- Toute blessure, même légère, est inscrite au registre.",
            "Article 3 – Produits. Les chiffons imprégnés d'huile sont mis à sécher à plat : ils peuvent s'enflammer d'eux-mêmes.",
            "Fait à Nantes, le 5 janvier 2026. La gérante, Hélène Garçon.",
        ],
        "Les Ateliers de l'Érable – 12, quai de la Fosse, 44000 Nantes",
        [("Poste", "Référent"), ("Machines", "Noël Le Guénnec"), ("Finitions", "Anaïs Bœuf")],
    )
    write_xlsx(
        "administration/Budget 2026.xlsx",
        {
            "Dépenses": [
                ("Poste", "1er semestre (€)", "2e semestre (€)"),
                ("Bois massif : chêne, érable, noyer", 18400, 21250.5),
                ("Quincaillerie", 3100, 2950),
                ("Électricité de l'atelier", 4200, 4800),
                ("Loyer", 9600, 9600),
                ("Formation des apprentis", 1500, 2300),
            ],
            "Recettes": [
                ("Chantier", "Montant (€)"),
                ("Médiathèque d'Angers", 46000),
                ("Harbour Café, Bristol", 28500),
                ("Particuliers", 31200),
            ],
        },
    )
    write_pdf(
        "administration/Facture 2026-014.pdf",
        "Facture n° 2026-014",
        [
            "Les Ateliers de l'Érable, 12, quai de la Fosse, 44000 Nantes",
            "Client : Médiathèque d'Angers – à l'attention de Mme Œnone Lefèvre",
            "Objet : fourniture et pose d'étagères en érable, première tranche, livrée le 28 août 2026.",
            "Échéance : 30 jours. En cas de retard, une indemnité forfaitaire de 40 € est due.",
        ],
        [
            ("Désignation", "Quantité", "Prix unitaire", "Total HT"),
            ("Étagère murale 240 cm", "12", "310,00 €", "3 720,00 €"),
            ("Échelle coulissante", "1", "890,00 €", "890,00 €"),
            ("Pose sur place", "2 jours", "480,00 €", "960,00 €"),
            ("Total", "", "", "5 570,00 €"),
        ],
    )
    lease = (
        "Bail commercial – avenant n° 2\n"
        "Entre la société civile « Les Quais » et Les Ateliers de l'Érable, il est convenu ce qui suit.\n"
        "Le loyer annuel est porté à 19 200 € à compter du 1er janvier 2027, révisé chaque année selon l'indice des loyers commerciaux.\n"
        "Le preneur est autorisé à installer un système d'aspiration sur la façade arrière, à ses frais et sous sa responsabilité.\n"
        "Les autres clauses demeurent inchangées. Fait en deux exemplaires, à Nantes, le 14 octobre 2026."
    )
    path("administration/avenant-bail.rtf").write_bytes(rtf(lease))
    write_text(
        "administration/fournisseurs.csv",
        '''
Fournisseur;Ville;Produits;Délai (jours);Dernier prix (€/m³)
Scierie Beauséjour;Châteaubriant;chêne, frêne;21;1150
Bois d'Œuvre Réunis;Le Mans;érable, noyer;30;1890,50
"Quincaillerie ""Au Clou d'Or""";Nantes;charnières, coulisses;4;
Forêt & Fils;Saint-Brieuc;hêtre étuvé;18;890
Vernis Gaïa;Orléans;huiles, cires;7;
''',
    )
    minutes = opendocument.OpenDocumentText()
    minutes.text.addElement(text.H(outlinelevel=1, text="Procès-verbal de l'assemblée générale du 12 juin 2026"))
    for paragraph in (
        "Présents : Hélène Garçon, Noël Le Guénnec, Anaïs Bœuf, Joël Kérandel. Excusée : Zoé Mañas.",
        "Les comptes de l'exercice 2025 sont approuvés à l'unanimité. Le résultat s'élève à 17 840 €.",
        "L'achat d'une mortaiseuse d'occasion est décidé, pour un montant maximal de 6 500 €.",
        "Il est décidé d'accueillir une deuxième apprentie à la rentrée de septembre.",
        "La séance est levée à 19 h 15. Prochaine réunion : le 4 décembre 2026.",
    ):
        minutes.text.addElement(text.P(text=paragraph))
    minutes.save(path("administration/Procès-verbal AG 2026.odt"))


def rtf(content):
    """Bytes of the Windows character set where it has the letter, `\\u` escapes elsewhere."""
    body = ""
    for letter in content:
        try:
            byte = letter.encode("cp1252")[0]
            body += letter if byte < 128 else f"\\'{byte:02x}"
        except UnicodeEncodeError:
            body += f"\\u{ord(letter)}?"
    body = body.replace("\n", "\\par\n")
    return f"{{\\rtf1\\ansi\\ansicpg1252\\deff0{{\\fonttbl{{\\f0\\froman Times New Roman;}}}}\\f0\\fs24 {body}\\par}}".encode()


def projects():
    write_pdf(
        "projets/Harbour Café – proposal.pdf",
        "Proposal: fittings for the Harbour Café, Bristol",
        [
            "Thank you for showing us the site in May. This proposal covers the counter, the window bench and nine tables.",
            "The counter is built from solid walnut with a brass rail. It arrives in three sections and is joined on site within a day.",
            "The window bench follows the curve of the bay. Its seats lift to give about 400 litres of dry storage.",
            "Tables are 70 by 70 cm, in maple, with an oiled finish that can be repaired without sanding the whole top.",
            "We need eleven weeks from the order. The price of £24,300 includes transport and two fitters for four days.",
            "This offer stands until 30 November 2026.",
        ],
    )
    show = pptx.Presentation()
    show.core_properties.created = show.core_properties.modified = WRITTEN
    for title, body, notes in (
        ("Catalogue d'automne 2026", "Meubles en bois de pays, faits à Nantes", "Commencer par l'histoire de l'atelier."),
        ("La table Loire", "Plateau en chêne d'une seule pièce\nPieds démontables\nÀ partir de 1 450 €", "Insister sur la garantie de dix ans."),
        ("The Erdre shelf", "Maple, no visible screws\nCarries 35 kg per board\nShips flat to the UK in five days", "Bring a sample of the joint."),
    ):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        slide.notes_slide.notes_text_frame.text = notes
    show.save(path("projets/catalogue-automne.pptx"))
    write_docx(
        "projets/Caring for oiled wood.docx",
        "Caring for oiled wood",
        [
            "Your table was finished with three coats of hard oil. It protects the wood from inside and leaves no film to crack.",
            "- Wipe spills within a few minutes, above all red wine and coffee.",
            "- Use soft soap, never a scouring powder.",
            "- Renew the oil once a year: a thin coat, left for twenty minutes, then rubbed dry.",
            "A water mark disappears when it is rubbed with a little oil and a fine pad, always along the grain.",
            "Lay oily cloths flat outdoors to dry before you throw them away, for a heap of them can catch fire by itself.",
        ],
        "Les Ateliers de l'Érable – care guide",
        [("Wood", "Oil again after"), ("Oak", "12 months"), ("Maple", "9 months"), ("Walnut", "12 months")],
    )
    write_text(
        "projets/workshop-notes.md",
        """
# Workshop notes: media library in Angers

Site visit on 3 September with Joël. The floor is **18 mm out of level** over six metres, so the plinths need adjustable feet.

## Open questions

1. Who moves the radiators, and when?
2. Does the ladder rail clear the fire alarm? Drawing says 42 mm, we measured 38 mm.
3. Power for the reading lamps: two circuits or one?

## Decisions

- Maple veneer for the end panels, solid maple for the shelves.
- No varnish. The librarian, Mme Lefèvre, wants the smell of oil gone before the *rentrée*.

| part | count | ready |
|---|---|---|
| shelves, 240 cm | 48 | 36 |
| end panels | 10 | 10 |
| ladder | 1 | 0 |
""",
    )
    write_text(
        "projets/page-accueil.html",
        """
<!DOCTYPE html>
<html lang="fr">
<head><meta charset="utf-8"><title>Les Ateliers de l'Érable – ébénisterie à Nantes</title>
<style>body { font-family: serif }</style></head>
<body>
<h1>Du bois d'ici, pour longtemps</h1>
<p>Depuis 1987, nous fabriquons des meubles en <strong>chêne</strong>, en érable et en noyer, c&oelig;ur et &acirc;me du métier.</p>
<h2>Nos services</h2>
<ul><li>Bibliothèques sur mesure</li><li>Restauration de meubles anciens</li><li>Agencement de cafés et de boutiques</li></ul>
<table><tr><th>Jour</th><th>Ouverture</th></tr><tr><td>Du mardi au vendredi</td><td>9 h – 18 h</td></tr><tr><td>Samedi</td><td>10 h – 16 h</td></tr></table>
<p>Atelier ouvert à la visite le premier samedi du mois. Entrée libre, chaussures fermées exigées&nbsp;!</p>
<script>console.log("page vue");</script>
</body>
</html>
""",
    )
    stock = {
        "updated": "2026-10-02",
        "warehouse": "Quai de la Fosse",
        "boards": [
            {"species": "oak", "thickness_mm": 27, "volume_m3": 3.4, "note": "two boards with heart shake"},
            {"species": "maple", "thickness_mm": 34, "volume_m3": 1.9, "note": "reserved for the media library in Angers"},
            {"species": "walnut", "thickness_mm": 54, "volume_m3": 0.8, "note": "réservé : comptoir du Harbour Café"},
        ],
    }
    write_text("projets/stock.json", json.dumps(stock, indent=2))
    mail = EmailMessage()
    mail["From"] = "Zoé Mañas <zoe.manas@ateliers-erable.example>"
    mail["To"] = "Œnone Lefèvre <o.lefevre@mediatheque-angers.example>"
    mail["Cc"] = "atelier@ateliers-erable.example"
    mail["Subject"] = "Re: Livraison des étagères – créneau du 28 août"
    mail["Date"] = "Mon, 24 Aug 2026 16:42:00 +0200"
    mail["Message-ID"] = "<20260824.livraison@ateliers-erable.example>"
    mail.set_content(
        "Bonjour Madame Lefèvre,\n\n"
        "Le camion arrivera vendredi 28 août entre 8 h et 9 h. Pourriez-vous réserver deux places devant l'entrée de service ?\n"
        "Nous serons trois, et la pose durera jusqu'à samedi midi. L'échelle suivra la semaine du 7 septembre : le rail a pris du retard.\n\n"
        "Bien à vous,\nZoé Mañas\n"
    )
    mail.add_alternative("<p>Bonjour Madame Lefèvre,</p><p>Le camion arrivera vendredi 28 août entre 8 h et 9 h.</p>", subtype="html")
    mail.add_attachment(b"plan : entree de service au nord\n", maintype="application", subtype="octet-stream", filename="Plan d'accès.dwg")
    mail.set_boundary("livraison")
    next(mail.iter_parts()).set_boundary("texte")
    path("projets/Re Livraison des étagères.eml").write_bytes(mail.as_bytes())


def team():
    write_text(
        "équipe/Congés d'été.txt",
        """
Congés d'été 2026

Hélène   du 6 au 24 juillet
Noël     du 27 juillet au 14 août
Anaïs    du 3 au 21 août
Joël     du 10 au 28 août (à confirmer : pose à Angers le 28 !)
Zoé      du 13 au 31 juillet

L'atelier est fermé le 14 juillet et le 15 août. Pour les urgences, l'astreinte est à tour de rôle ; la prime reste de 25 € par jour.
""",
    )
    write_text(
        "équipe/mémo-1998.txt",
        """
À toute l'équipe, le 2 novembre 1998

Le nouvel ordinateur est arrivé. Désormais, les devis seront tapés « à la machine » et enregistrés sur disquette, en double.
Prière de ne pas poser de tasse de café sur le clavier : cœur fragile !
Le passage à l'euro se prépare : à partir de janvier, chaque facture portera le montant en francs et en € (1 € vaut environ 6,56 F).

Maël Garçon
""",
        encoding="cp1252",
        newline="\r\n",
    )
    write_text(
        "équipe/note-téléphone.txt",
        """
Note exportée du téléphone de Noël

Chez le client : mesurer la trémie, vérifier l'hygromètre (plus de 65 % → attendre), reprendre la cote du cœur de voûte.
Ne pas oublier : cales de 5 mm, niveau à bulle, café.
Rendez-vous à Guérande, 9 h 30, « La Maison du Sel ».
""",
        encoding="utf-16",
        newline="\r\n",
    )
    write_text(
        "équipe/welcome.md",
        """
# Welcome to the workshop

Your first week is for watching and asking. Nobody expects a finished piece from you.

- **Monday**: tour, keys, safety shoes. Anaïs shows you the finishing room.
- **Tuesday to Thursday**: one day each with the oak, the maple and the veneer team.
- **Friday**: you sharpen a chisel until Noël is satisfied. This can take a while.

Lunch is at noon and the machines are quiet until half past one. If something seems dangerous, stop and say so: you will always be thanked for it.
""",
    )
    hours = opendocument.OpenDocumentSpreadsheet()
    sheet = table.Table(name="Semaine 36")
    for values in (
        ("Prénom", "Chantier", "Heures"),
        ("Hélène", "Devis et comptabilité", "31"),
        ("Noël", "Médiathèque d'Angers : échelle", "38,5"),
        ("Anaïs", "Comptoir du Harbour Café", "35"),
        ("Joël", "Pose à Angers, déplacement compris", "41"),
    ):
        row = table.TableRow()
        for value in values:
            cell = table.TableCell(valuetype="string")
            cell.addElement(text.P(text=value))
            row.addElement(cell)
        sheet.addElement(row)
    hours.spreadsheet.addElement(sheet)
    hours.save(path("équipe/heures-septembre.ods"))


if __name__ == "__main__":
    administration()
    projects()
    team()
