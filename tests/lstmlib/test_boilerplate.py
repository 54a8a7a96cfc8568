import warnings

import pytest

from lstmlib.boilerplate import strip_boilerplate

LICENCE = (
    "Updated editions will replace the previous one.\n\nSection 1. Redistribution.\n\n1.F.3. A\n"
    "DEFECT. You paid for it.\n\nThis website includes information about Project Gutenberg,\n"
    "and how to subscribe to our email\nnewsletter to hear about new eBooks.\n\n"
)


def book(title, text, start="*** START OF THE PROJECT GUTENBERG EBOOK {} ***", licence=LICENCE):
    """Return a book as the library sends it."""
    start = start.format(title)
    end = start.replace("START", "END").replace("Start", "End")
    return (
        f"The Project Gutenberg EBook of {title}\n\nThis is for anyone, anywhere.\n\nTitle: {title}"
        f"\n\n{start}\n\nProduced by A. Helper\nand B.\n\n{text}\n\nEnd of the Project Gutenberg "
        f"EBook of {title}, by\nAn Author\n\n{end}\n\n{licence}"
    )


def old_book(title, text):
    """Return a book as the library sent it in its first years."""
    return (
        f"**The Project Gutenberg Etext of {title}**\n\nPlease take a look.\n\n"
        "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nLegal words.\n\nMore.\n"
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n"
        f"{text}\n\n\nEnd of the Project Gutenberg Etext of {title}\n\n"
    )


@pytest.mark.parametrize("which", ["THE", "THIS"])
def test_header_footer_and_credit_go(which):
    text = (
        f"Title: A\n\n*** START OF {which} PROJECT GUTENBERG EBOOK A ***\n\n\nProduced by Some\n"
        f"and others\n\nChapter 1\n\nText.\n\n\nEnd of the Project Gutenberg EBook of A\n\n"
        f"*** END OF {which} PROJECT GUTENBERG EBOOK A ***\nLicence\n"
    )
    assert strip_boilerplate(text) == "Chapter 1\n\nText.\n"


@pytest.mark.parametrize(
    "text",
    [
        "*** Three stars, and the END OF THIS story. ***\n",
        "*** START OF THE RACE ***\n" + "They ran. " * 200 + "No EBOOK here. ***\nThe rest.\n",
        "  no final line end, and spaces before",
        "Start of the Project Gutenberg EBook project was in 1971.\n",
        "*** START: FULL LICENSE ***\n",
        "He read Project Gutenberg's books.\n\n",
    ],
)
@pytest.mark.filterwarnings("error")
def test_text_without_markers_stays(text):
    assert strip_boilerplate(text) == text


@pytest.mark.parametrize(
    "start",
    [
        "*** START OF THE PROJECT GUTENBERG EBOOK {} ***",
        "***START OF THE PROJECT GUTENBERG EBOOK {}***",
        "*** START OF THIS PROJECT GUTENBERG EBOOK {}\nIN A LONG\nEDITION ***",
        "*** Start of this Project Gutenberg eBook {} ***",
        "*** START OF THE PROJECT GUTENBERG ETEXT, {} ***",
        "*** START OF THE PROJECT GUTENBERG E-BOOK {} ***",
        "**** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK {} ****",
        "*** START OF PROJECT GUTENBERG EBOOK {} ***",
        "  *** START OF THE PROJECT GUTENBERG EBOOK {} ***  ",
        "START OF THE PROJECT GUTENBERG EBOOK {}",
        "*** START OF THE PROJECT GUTENBERG EBOOK {}",
    ],
)
@pytest.mark.filterwarnings("error")
def test_markers_in_other_spellings(start):
    assert strip_boilerplate(book("A", "One.\n\nTwo.", start)) == "One.\n\nTwo.\n"


@pytest.mark.filterwarnings("error")
def test_several_books_all_come():
    joined = book("A", "One.") + book("B", "Two.") + "\ufeff" + book("C", "Three.")
    assert strip_boilerplate(joined) == "One.\n\nTwo.\n\nThree.\n"
    assert strip_boilerplate(old_book("A", "One.") + old_book("B", "Two.")) == "One.\n\nTwo.\n"
    assert strip_boilerplate(old_book("A", "One.") + book("B", "Two.")) == "One.\n\nTwo.\n"
    assert strip_boilerplate(book("A", "One.") + old_book("B", "Two.")) == "One.\n\nTwo.\n"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [book, old_book])
def test_own_text_around_books_stays(make):
    joined = (
        f"My preface.\n\nIts end.\n\n{make('A', 'One.')}Between.\n\n{make('B', 'Two.')}\n\nMine."
    )
    assert strip_boilerplate(joined) == (
        "My preface.\n\nIts end.\n\nOne.\n\nBetween.\n\nTwo.\n\nMine.\n"
    )


@pytest.mark.filterwarnings("error")
def test_the_title_page_of_an_epub_is_part_of_its_header():
    text = "Mine.\n\nThe Mill\n\nThe Mill\n\n" + book("The Mill", "One.")
    assert strip_boilerplate(text) == "Mine.\n\nOne.\n"


@pytest.mark.filterwarnings("error")
def test_a_lone_marker_cuts_its_own_side():
    whole = book("A", "One.\n\nTwo.")
    start, end = whole.index("\n\nThis is for"), whole.index("*** END")
    assert strip_boilerplate(whole[:end]) == "One.\n\nTwo.\n"
    assert strip_boilerplate("One.\n\nTwo.\n\n" + whole[end:]) == "One.\n\nTwo.\n"
    # A book whose header has no end, behind another: nothing of it is lost.
    headless = whole.replace("*** START", "*** ")
    assert "One." in strip_boilerplate(book("B", "Three.") + headless)
    assert start > 0


@pytest.mark.filterwarnings("error")
def test_a_book_that_does_not_end_is_not_lost_in_the_next_ones_header():
    first = book("A", "One.")
    first = first[: first.index("\n\nEnd of the")]
    assert strip_boilerplate(f"{first}\n\n{book('B', 'Two.')}") == "One.\n\nTwo.\n"


def test_a_licence_that_is_cut_off_goes():
    text = book("A", "One.")
    cut = text[: text.index("Redistribution")]
    with warnings.catch_warnings(record=True):
        assert "One.\n" in strip_boilerplate(cut)
    assert strip_boilerplate(book("A", "One.", licence="Licence words.\n")) == "One.\n"


def test_what_may_be_text_is_not_cut_in_silence():
    with pytest.warns(UserWarning, match=r"cut with a book's header.*'My words.'.*keep_boiler"):
        assert strip_boilerplate("My words.\n*** START OF THIS PRACTICE EBOOK ***\nA.\n") == "A.\n"
    with pytest.warns(UserWarning, match=r"cut with a book's footer.*'My words.'"):
        strip_boilerplate("A.\n\n*** END OF THIS PRACTICE EBOOK ***\n\nMy words.\n\nThe licence.\n")


def test_far_more_than_a_header_is_no_header():
    mine = "My own words.\n\n" * 5000
    text = mine + "*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\nOne.\n"
    assert strip_boilerplate(text) == mine + "One.\n"


def test_a_title_may_run_over_a_line_end():
    text = "Title: x\n*** START OF THIS PROJECT GUTENBERG EBOOK A\nLONG TITLE ***\nText.\n"
    assert strip_boilerplate(text) == "Text.\n"


@pytest.mark.parametrize("piece", [" ", "*", "\n", "\n ", "x\n", "* ", "\n\n* ", "\t\n", "*END*"])
def test_hundreds_of_kilobytes_of_one_piece_are_read_to_their_end(piece):
    """A regular expression once took 3 s for 40 KB; benchmarks/reading.py measures the time."""
    marker = "*** {} OF THE PROJECT GUTENBERG EBOOK A"
    for text in (piece * 10**5, marker.format("START") + piece * 10**5 + marker.format("END")):
        whole = f"\nEnd of Project Gutenberg's {text}\nProduced by {text}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that what is cut may be text
            kept = strip_boilerplate(whole)
        assert len(kept) <= len(whole)
