"""Commands about money: transactions, accounts, statements, rates, ledgers and their members."""
