"""How a dispatcher gets an inference: ``protocol`` says what, from a queue or from a server over HTTP."""
