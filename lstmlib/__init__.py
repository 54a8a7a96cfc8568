"""The library behind the course: the line from raw text to measured generated text.

The modules follow that line, and each one imports only modules that stand above it:

    validation     checks of arguments: one kind of mistake, one message
    findings       what is found, and what to do about it
    runtime        which machine is this, how large may a run be, where are its files
    decoding       bytes -> text, with the declared encoding weighed against them
    markup         markup -> the text that a reader of it sees
    epub           EPUB files -> the text that a reader of them sees
    boilerplate    what a digital library puts around a book -> away
    readers        files -> decoded text: which reader a file wants
    corpora        names -> files: the registry, checked downloads, and reviews
    books          a reader's own text: a file, or a whole folder of files
    languages      which language a text is in, and where it changes
    cleaning       raw text -> clean text, with a report of what went
    annotations    what is true at each character of a text, by exact rules
    vocab          characters <-> ids
    batching       windows, contiguous streams for stateful truncated BPTT, padded batches
    grammars       formal languages: sample them, recognise them, know every probability
    ngram          the models that count
    scratch        RNN, LSTM and CIFG in NumPy, with hand-written backward passes and their proof
    models         the character-level network in PyTorch
    conversion     the same weights in NumPy and in PyTorch
    serialization  networks in files, and any file written whole or not at all
    checkpoints    all that a run needs to go on where it was
    precision      32 bits or 16: what a device can do
    settings       the settings of a run, its optimizer, the learning rate of a step
    clipping       gradients cut by norm, by value, or unit by unit
    history        what each step of a run came to
    internals      inside a network: gates, states, Jacobians, units that are set
    reach          how far back a network looks, and which of its units remember
    diagnostics    what goes on in a step of training: gradients, gates, updates, spikes
    distributed    processes that train one model together
    sources        where the batches of a run come from: a text, windows, whole sequences
    run_state      what a checkpoint of a run holds, and whether it is of this run
    training       fit(): back-propagation through time, step by step
    throughput     how fast a device trains, and how far that is from its limit
    inference      a prompt read, and then one character at a time, fast
    quantized      such steps compiled, from weights of 16 bits: faster, where Numba is installed
    sampling       temperature and its kin: from logits to one character
    generation     texts: one, a batch, a stream
    metrics        bits, perplexity, measures of a text, BLEU, intervals over texts
    suffixes       what a text copies from another: the longest matches, by a suffix array
    thermometer    which loss can be expected of a text before training; is a loss any good
    calibration    do probabilities come true as often as they say
    two_sample     generated texts against real ones: a classifier, n-grams, a compressor
    preferences    a reader's choices between two texts, and what agrees with them
    report         all measures of a text beside those of held-out text: python -m lstmlib.report
    grammar_eval   how well a network knows a formal language
    probes         what can be read from a network's states, beside what controls give
    interventions  whether a network uses what can be read from its states
    audit          what is in a text, and what can be expected of it, before training
    book_run       a run on a reader's own text: its plan, kept, and what the clinic finds in it
    model_card     what a network was trained on, how good it is, what it may be used for
    explorer       one HTML page with a network in it
    publishing     a folder with model, card and page, written whole or not at all

What the notebooks alone use is in `course`: checks of numbers and exercises, figures, panels.
"""

__version__ = "0.9.0"
