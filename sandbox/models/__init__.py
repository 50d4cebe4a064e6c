"""Language models of the sandbox: two providers' protocols on this machine, with nobody's knowledge behind them."""
